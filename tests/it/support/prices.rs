//! The price list, as the operations desk sets it.

use serde_json::{Value, json};

use super::{Answer, TestApp};

pub(crate) const PRICES: &str = "/v1/admin/numbering/prices";

impl TestApp {
    /// Adds a price in dollars a month: `more` says for whom, and when.
    pub(crate) async fn try_price(&self, class: &str, tier: &str, amount: &str, more: Value) -> Answer {
        let mut body = json!({
            "identifierClass": class, "priceTier": tier, "amount": amount, "currency": "USD", "per": "month",
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.admin().post(PRICES, &body).await
    }

    /// Like [`TestApp::try_price`], of a price that is good; gives its id.
    pub(crate) async fn price(&self, class: &str, tier: &str, amount: &str, more: Value) -> String {
        let added = self.try_price(class, tier, amount, more).await.expect(201);
        added["priceId"].as_str().unwrap().to_owned()
    }

    /// The id of the latest price for every plan and operator, of one class and tier.
    pub(crate) async fn general_price(&self, class: &str, tier: &str) -> String {
        let listed = self.admin().get(&format!("{PRICES}?identifierClass={class}&priceTier={tier}")).await.expect(200);
        let items = listed["items"].as_array().unwrap();
        let general = |item: &&Value| item["plan"].is_null() && item["operatorId"].is_null();
        let last = items.iter().filter(general).max_by_key(|item| item["validFrom"].to_string()).unwrap();
        last["priceId"].as_str().unwrap().to_owned()
    }

    /// Puts another general price in the place of the latest, from now on.
    pub(crate) async fn raise_price(&self, class: &str, tier: &str, amount: &str) {
        let replaces = self.general_price(class, tier).await;
        self.price(class, tier, amount, json!({ "replaces": replaces })).await;
    }
}
