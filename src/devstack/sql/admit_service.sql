SELECT 'GRANT numbering_service TO numbering_app'
