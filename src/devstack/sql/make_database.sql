SELECT format('CREATE DATABASE %I OWNER numbering_owner TEMPLATE %I', $1::text, $2::text)
