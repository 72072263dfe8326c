-- Prices are written one after another: two that exclude each other must not wait for each other in a circle. Readers go on.
LOCK TABLE numbering.price_list IN SHARE ROW EXCLUSIVE MODE
