SELECT max(version) FROM public.refinery_schema_history
