//! Quotas of tenants (US-NUM-011): counters that differ from the rows are found.

use serde_json::json;

use crate::support::TestApp;

const RUN: &str = "/v1/admin/numbering/jobs/reconcile_usage/run";
const ALERTS: &str = "/v1/admin/numbering/alerts?state=OPEN";

#[tokio::test]
async fn a_counter_that_differs_from_the_rows_is_told_of_and_resolved_when_it_is_right_again() {
    let app = TestApp::start().await;
    let (admin, database) = (app.admin(), app.superuser().await);
    // More tenants than are read at once, and one with something in every counter that a tenant can fill by itself.
    for tenant in 0..25 {
        let path = format!("/v1/admin/numbering/tenants/tenant-{tenant:02}");
        admin.put(&path, &json!({ "plan": "business" })).await.expect(200);
    }
    let numbers = app.stock_numbers(3).await;
    let holder = app.tenant("tenant-24");
    for number in &numbers {
        holder.act(number, "reserve").await.expect(200);
    }
    holder.act(&numbers[1], "hold").await.expect(200);
    holder.lease(&numbers[2], "1m").await.expect(201);
    let reconciled = async || admin.post(RUN, &json!({})).await.expect(200)["lastResult"]["result"].clone();

    let all_is_well = reconciled().await;
    assert_eq!((&all_is_well["tenants"], &all_is_well["differences"]), (&json!(0), &json!(0)), "{all_is_well}");
    assert_eq!(admin.get(ALERTS).await.expect(200)["items"], json!([]));

    let plant = "UPDATE numbering.tenants SET used_msisdn = used_msisdn + $1, used_holds = used_holds + $1
                 WHERE tenant_id IN ('tenant-03', 'tenant-24')";
    database.execute(plant, &[&2]).await.unwrap();
    let wrong = reconciled().await;
    assert_eq!((&wrong["tenants"], &wrong["differences"]), (&json!(2), &json!(4)), "{wrong}");
    let open = admin.get(ALERTS).await.expect(200)["items"].clone();
    assert_eq!((open.as_array().unwrap().len(), &open[0]["name"]), (1, &json!("numbering_usage_mismatch")), "{open}");
    let summary = "Counters of 2 tenants differ from their rows: tenant-03 MSISDN counts 2 and has 0; \
                   tenant-03 HOLDS counts 2 and has 0; tenant-24 MSISDN counts 3 and has 1; \
                   tenant-24 HOLDS counts 3 and has 1.";
    assert_eq!(open[0]["summary"], summary);
    let quota = app.tenant("tenant-24").get("/v1/quota").await.expect(200);
    assert_eq!(quota["quotas"]["MSISDN"]["current"], 3, "nothing is corrected by itself");

    database.execute(plant, &[&-2]).await.unwrap();
    assert_eq!(reconciled().await["differences"], 0);
    assert_eq!(admin.get(ALERTS).await.expect(200)["items"], json!([]));
    app.stop().await;
}
