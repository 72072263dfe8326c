SELECT p.identifier_class, p.price_tier FROM numbering.prices p
