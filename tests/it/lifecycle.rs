//! One number's whole life, as the stories tell it.

use serde_json::json;

use crate::support::{Client, TestApp};

/// Reserves, holds and leases a number.
async fn leased(tenant: &Client, number: &str) {
    tenant.act(number, "reserve").await.expect(200);
    tenant.act(number, "hold").await.expect(200);
    tenant.lease(number, "6m").await.expect(201);
}

#[tokio::test]
async fn a_number_is_reserved_held_leased_validated_recalled_and_rests() {
    let app = TestApp::start().await;
    let number = &app.stock_numbers(1).await[0];
    let (a, b, admin) = (app.tenant("tenant-a"), app.tenant("tenant-b"), app.admin());

    let reserved = a.act(number, "reserve").await.expect(200);
    assert_eq!((&reserved["state"], &reserved["version"]), (&json!("RESERVED"), &json!(1)));
    assert!(reserved["expiresAt"].is_string() && reserved["reservationId"].is_string(), "{reserved}");
    let held = a.act(number, "hold").await.expect(200);
    assert_eq!(held["state"], "HELD");
    assert_eq!(held["reservationId"], reserved["reservationId"]);
    let lease = a
        .post(&format!("/v1/numbers/{number}/lease"), &json!({"tenantId": "tenant-a", "term": "6m", "autoRenew": true}))
        .await
        .expect(201);
    assert_eq!(
        (&lease["state"], &lease["tenantId"], &lease["autoRenew"]),
        (&json!("LEASED"), &json!("tenant-a"), &json!(true))
    );
    assert_eq!(lease["price"]["currency"], "USD");

    let verdict = app.validate(number, "tenant-a").await;
    assert!(verdict.valid && verdict.lease_id == lease["leaseId"].as_str().unwrap(), "{verdict:?}");
    assert_eq!(app.validate(number, "tenant-b").await.reason().as_str_name(), "WRONG_TENANT");

    let recalled = admin.recall(number, "REGULATOR_ORDER", Some("ATRA-1")).await.expect(200);
    assert_eq!((&recalled["state"], &recalled["leaseId"]), (&json!("RECALLED"), &lease["leaseId"]));
    assert_eq!(app.validate(number, "tenant-a").await.reason().as_str_name(), "LEASE_RECALLED");
    for tenant in [&a, &b] {
        let problem = tenant.lease(number, "1m").await.problem(409, "QUARANTINE_ACTIVE");
        assert_eq!((&problem["state"], &problem["availableAt"]), (&json!("QUARANTINE"), &recalled["availableAt"]));
    }

    let history = app.compliance().get(&format!("/v1/admin/numbers/{number}/history")).await.expect(200);
    let types: Vec<&str> =
        history["items"].as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect();
    let expected = [
        "numbering.reservation.held",
        "numbering.reservation.held",
        "numbering.lease.created",
        "numbering.lease.recalled",
        "numbering.identifier.quarantined",
    ];
    assert_eq!(types, expected);
    let events = app.events(expected.len()).await;
    for (at, (received, event_type)) in events.iter().zip(expected).enumerate() {
        let event = &received.event;
        assert_eq!((received.subject.as_str(), &event["type"]), (event_type, &json!(event_type)));
        assert_eq!((&event["specversion"], &event["subject"]), (&json!("1.0"), &json!(number)));
        assert_eq!((&event["data"]["identifier"], &event["data"]["version"]), (&json!(number), &json!(at + 1)));
        assert_eq!(received.message_id, event["id"].as_str().unwrap());
    }
    assert_eq!(events[3].event["data"]["ticketId"], "ATRA-1");
    app.stop().await;
}

#[tokio::test]
async fn reserve_of_a_number_that_is_not_available_is_409_with_its_state() {
    let app = TestApp::start().await;
    let numbers = app.stock_numbers(3).await;
    let (a, b) = (app.tenant("tenant-a"), app.tenant("tenant-b"));
    a.act(&numbers[0], "reserve").await.expect(200);
    a.act(&numbers[1], "reserve").await.expect(200);
    a.act(&numbers[1], "hold").await.expect(200);
    leased(&a, &numbers[2]).await;
    for (number, state) in numbers.iter().zip(["RESERVED", "HELD", "LEASED"]) {
        for tenant in [&a, &b] {
            assert_eq!(tenant.act(number, "reserve").await.problem(409, "NOT_AVAILABLE")["state"], state);
        }
    }
    b.act("+93799999999", "reserve").await.problem(404, "NOT_REGISTERED");
    b.act("+9379999999", "reserve").await.problem(422, "INVALID_IDENTIFIER");
    b.act("119", "reserve").await.problem(422, "INVALID_IDENTIFIER");
    app.stop().await;
}

#[tokio::test]
async fn of_500_clients_that_reserve_one_number_one_wins_and_499_learn_its_state() {
    let app = TestApp::start().await;
    let number = app.stock_numbers(1).await.remove(0);
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..500 {
        let (tenant, number) = (app.tenant(&format!("tenant-{client}")), number.clone());
        clients.spawn(async move { tenant.act(&number, "reserve").await });
    }
    let answers = clients.join_all().await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!((won.len(), lost.len()), (1, 499));
    for answer in lost {
        assert_eq!(answer.problem(409, "NOT_AVAILABLE")["state"], "RESERVED");
    }
    app.stop().await;
}

#[tokio::test]
async fn hold_of_another_s_reservation_or_in_another_state_is_409() {
    let app = TestApp::start().await;
    let numbers = app.stock_numbers(3).await;
    let (a, b) = (app.tenant("tenant-a"), app.tenant("tenant-b"));
    a.act(&numbers[0], "reserve").await.expect(200);
    b.act(&numbers[0], "hold").await.problem(409, "RESERVED_BY_OTHER_TENANT");
    a.act(&numbers[0], "hold").await.expect(200);
    b.act(&numbers[0], "hold").await.problem(409, "HELD_BY_OTHER_TENANT");
    b.lease(&numbers[0], "1m").await.problem(409, "HELD_BY_OTHER_TENANT");
    a.act(&numbers[0], "hold").await.problem(409, "INVALID_STATE");
    a.act(&numbers[1], "hold").await.problem(409, "INVALID_STATE");
    leased(&a, &numbers[2]).await;
    a.act(&numbers[2], "hold").await.problem(409, "ALREADY_LEASED");
    b.lease(&numbers[2], "1m").await.problem(409, "ALREADY_LEASED");
    app.stop().await;
}

#[tokio::test]
async fn release_gives_a_claim_back_and_nothing_else() {
    let app = TestApp::start().await;
    let numbers = app.stock_numbers(3).await;
    let (a, b) = (app.tenant("tenant-a"), app.tenant("tenant-b"));
    a.act(&numbers[0], "reserve").await.expect(200);
    b.act(&numbers[0], "release").await.problem(403, "HELD_BY_OTHER_TENANT");
    assert_eq!(a.act(&numbers[0], "release").await.expect(200)["state"], "AVAILABLE");
    a.act(&numbers[0], "release").await.problem(409, "INVALID_STATE");
    a.act(&numbers[1], "reserve").await.expect(200);
    a.act(&numbers[1], "hold").await.expect(200);
    assert_eq!(a.act(&numbers[1], "release").await.expect(200)["state"], "AVAILABLE");
    leased(&a, &numbers[2]).await;
    a.act(&numbers[2], "release").await.problem(409, "USE_RECALL_FOR_LEASES");
    b.act(&numbers[2], "release").await.problem(409, "USE_RECALL_FOR_LEASES");
    let released = &app.events(2).await[1].event;
    assert_eq!(
        (&released["type"], &released["data"]["reason"]),
        (&json!("numbering.reservation.released"), &json!("TENANT_RELEASE"))
    );
    app.stop().await;
}

#[tokio::test]
async fn lease_of_an_available_number_needs_the_bypass() {
    let app = TestApp::start().await;
    let numbers = app.stock_numbers(1).await;
    let a = app.tenant("tenant-a");
    a.lease(&numbers[0], "1m").await.problem(403, "BYPASS_REQUIRED");
    let path = format!("/v1/numbers/{}/lease", numbers[0]);
    let lease = app.admin().post(&path, &json!({"tenantId": "tenant-a", "term": "1m"})).await.expect(201);
    assert_eq!(lease["tenantId"], "tenant-a");
    a.post(&path, &json!({"tenantId": "tenant-b", "term": "1m"})).await.problem(403, "FORBIDDEN");
    a.post(&path, &json!({"term": "1w"})).await.problem(422, "INVALID_TERM");
    a.post(&path, &json!({"term": "2y", "vanityFlag": true})).await.problem(422, "INVALID_TERM");
    app.stop().await;
}

#[tokio::test]
async fn a_recall_by_a_desk_needs_its_ticket_and_a_tenant_recalls_only_its_own() {
    let app = TestApp::start().await;
    let numbers = app.stock_numbers(2).await;
    let (a, b, admin) = (app.tenant("tenant-a"), app.tenant("tenant-b"), app.admin());
    leased(&a, &numbers[0]).await;
    for reason in ["REGULATOR_ORDER", "ABUSE"] {
        admin.recall(&numbers[0], reason, None).await.problem(422, "TICKET_REQUIRED");
        assert_eq!(
            a.recall(&numbers[0], reason, Some("T-1")).await.problem(403, "FORBIDDEN")["permission"],
            "numbering.admin"
        );
    }
    b.recall(&numbers[0], "TENANT_INITIATED", None).await.problem(403, "NOT_LEASE_HOLDER");
    a.recall(&numbers[1], "TENANT_INITIATED", None).await.problem(409, "NOT_LEASED");
    a.recall(&numbers[0], "WHY_NOT", None).await.problem(422, "VALIDATION_FAILED");
    a.recall(&numbers[0], "TENANT_INITIATED", None).await.expect(200);
    app.stop().await;
}

#[tokio::test]
async fn an_override_frees_the_number_for_all_but_the_tenant_whose_lease_ended() {
    let app = TestApp::start().await;
    let numbers = app.stock_numbers(1).await;
    let (a, b, admin) = (app.tenant("tenant-a"), app.tenant("tenant-b"), app.admin());
    leased(&a, &numbers[0]).await;
    let available_at = a.recall(&numbers[0], "TENANT_INITIATED", None).await.expect(200)["availableAt"].clone();
    let path = format!("/v1/admin/numbers/{}/quarantine/release", numbers[0]);
    admin.post(&path, &json!({})).await.problem(422, "JUSTIFICATION_REQUIRED");
    admin.post(&path, &json!({"justification": " "})).await.problem(422, "JUSTIFICATION_REQUIRED");
    a.post(&path, &json!({"justification": "please"})).await.problem(403, "FORBIDDEN");
    assert_eq!(admin.post(&path, &json!({"justification": "by mistake"})).await.expect(200)["state"], "AVAILABLE");
    assert_eq!(a.act(&numbers[0], "reserve").await.problem(409, "QUARANTINE_ACTIVE")["availableAt"], available_at);
    b.act(&numbers[0], "reserve").await.expect(200);
    let audit =
        app.compliance().get("/v1/admin/numbering/audit?type=numbering.quarantine.overridden").await.expect(200);
    assert_eq!(
        (&audit["items"][0]["actor"], &audit["items"][0]["data"]["justification"]),
        (&json!("ops"), &json!("by mistake"))
    );
    app.stop().await;
}

#[tokio::test]
async fn a_suspended_lease_does_not_validate_until_it_is_reinstated() {
    let app = TestApp::start().await;
    let numbers = app.stock_numbers(1).await;
    let (a, admin) = (app.tenant("tenant-a"), app.admin());
    let path = |action: &str| format!("/v1/admin/numbers/{}/{action}", numbers[0]);
    admin.post(&path("suspend"), &json!({})).await.problem(409, "NOT_LEASED");
    leased(&a, &numbers[0]).await;
    assert_eq!(admin.post(&path("suspend"), &json!({})).await.expect(200)["state"], "SUSPENDED");
    admin.post(&path("suspend"), &json!({})).await.problem(409, "INVALID_STATE");
    assert_eq!(app.validate(&numbers[0], "tenant-a").await.reason().as_str_name(), "LEASE_SUSPENDED");
    assert_eq!(admin.post(&path("reinstate"), &json!({})).await.expect(200)["state"], "LEASED");
    assert!(app.validate(&numbers[0], "tenant-a").await.valid);
    app.stop().await;
}

#[tokio::test]
async fn quotas_refuse_with_quota_and_current_and_independently_of_each_other() {
    let app = TestApp::start().await;
    let numbers = app.stock_numbers(6).await;
    let (a, admin) = (app.tenant("tenant-a"), app.admin());
    let quotas = json!({"MSISDN": 1, "RESERVATIONS": 2, "HOLDS": 1});
    admin.put("/v1/admin/numbering/tenants/tenant-a/quotas", &quotas).await.expect(200);
    leased(&a, &numbers[0]).await;
    a.act(&numbers[1], "reserve").await.expect(200);
    a.act(&numbers[2], "reserve").await.expect(200);
    let problem = a.act(&numbers[3], "reserve").await.problem(403, "RESERVATION_QUOTA");
    assert_eq!((&problem["quota"], &problem["current"]), (&json!(2), &json!(2)));
    a.act(&numbers[1], "hold").await.expect(200);
    let problem = a.act(&numbers[2], "hold").await.problem(403, "HOLD_QUOTA");
    assert_eq!((&problem["quota"], &problem["current"]), (&json!(1), &json!(1)));
    let problem = a.lease(&numbers[1], "1m").await.problem(403, "QUOTA_EXCEEDED");
    assert_eq!((&problem["quota"], &problem["current"], &problem["currentCount"]), (&json!(1), &json!(1), &json!(1)));
    assert_eq!(problem["identifierClass"], "MSISDN");
    let quota = a.get("/v1/quota").await.expect(200);
    assert_eq!(quota["quotas"]["RESERVATIONS"], json!({"quota": 2, "current": 1}));
    app.stop().await;
}

#[tokio::test]
async fn a_reservation_that_has_run_out_is_gone_for_every_reader_and_every_command() {
    let app = TestApp::start_with(&[("NUMBERING_POLICY__RESERVATION_TTL", "300ms")]).await;
    let numbers = app.stock_numbers(2).await;
    let (a, b) = (app.tenant("tenant-a"), app.tenant("tenant-b"));
    app.admin().put("/v1/admin/numbering/tenants/tenant-a/quotas", &json!({"RESERVATIONS": 1})).await.expect(200);
    let reserved = a.act(&numbers[0], "reserve").await.expect(200);
    let expires_at: jiff::Timestamp = reserved["expiresAt"].as_str().unwrap().parse().unwrap();
    app.until_database_time(expires_at).await;
    assert_eq!(a.get(&format!("/v1/numbers/{}", numbers[0])).await.expect(200)["state"], "AVAILABLE");
    assert_eq!(a.get("/v1/numbers").await.expect(200)["items"], json!([]));
    assert_eq!(a.get("/v1/quota").await.expect(200)["quotas"]["RESERVATIONS"], json!({"quota": 1, "current": 0}));
    let offered = b.get("/v1/numbers/available?identifierClass=MSISDN").await.expect(200);
    assert_eq!(offered["items"].as_array().unwrap().len(), 2, "{offered}");
    a.act(&numbers[0], "hold").await.problem(409, "INVALID_STATE");
    a.act(&numbers[1], "reserve").await.expect(200);
    b.act(&numbers[0], "reserve").await.expect(200);
    app.stop().await;
}

#[tokio::test]
async fn a_locked_lease_refuses_its_tenants_recall_with_a_reason_and_never_an_admins() {
    let app = TestApp::start().await;
    let (a, admin) = (app.tenant("tenant-a"), app.admin());
    let numbers = app.stock_numbers(2).await;
    for number in &numbers {
        leased(&a, number).await;
    }
    let mut leases = Vec::new();
    for number in &numbers {
        let number = a.get(&format!("/v1/numbers/{number}")).await.expect(200);
        leases.push(format!("/v1/leases/{}", number["leaseId"].as_str().unwrap()));
    }
    for lease in &leases {
        let locked = a.patch(lease, &json!({ "locked": true })).await.expect(200);
        assert_eq!((&locked["locked"], &locked["autoRenew"]), (&json!(true), &json!(false)));
    }

    let problem = a.recall(&numbers[0], "TENANT_INITIATED", None).await.problem(409, "INVALID_STATE");
    assert_eq!((&problem["reason"], &problem["state"]), (&json!("LEASE_LOCKED"), &json!("LEASED")));
    let renewing = a.patch(&leases[0], &json!({ "autoRenew": true })).await.expect(200);
    assert_eq!((&renewing["locked"], &renewing["autoRenew"]), (&json!(true), &json!(true)), "each stays by itself");
    assert_eq!(a.get(&leases[0]).await.expect(200)["locked"], true);
    a.recall(&numbers[0], "TENANT_INITIATED", None).await.problem(409, "INVALID_STATE");
    admin.recall(&numbers[0], "TENANT_INITIATED", None).await.expect(200);

    let both = a.patch(&leases[1], &json!({ "locked": false, "autoRenew": true })).await.expect(200);
    assert_eq!((&both["locked"], &both["autoRenew"]), (&json!(false), &json!(true)));
    a.recall(&numbers[1], "TENANT_INITIATED", None).await.expect(200);

    let mut told = Vec::new();
    for received in app.events(14).await {
        let event = received.event;
        if event["type"] == "numbering.lease.updated" {
            told.push((event["subject"] == numbers[0].as_str(), event["data"]["locked"].clone()));
        }
    }
    told.sort_by_key(|(of_the_first, _)| !of_the_first);
    assert_eq!(told, [(true, json!(true)), (true, json!(true)), (false, json!(true)), (false, json!(false))]);
}

#[tokio::test]
async fn a_change_of_a_lease_names_what_it_changes() {
    let app = TestApp::start().await;
    let a = app.tenant("tenant-a");
    let number = &app.stock_numbers(1).await[0];
    leased(&a, number).await;
    let lease_id = a.get(&format!("/v1/numbers/{number}")).await.expect(200)["leaseId"].clone();
    let lease = format!("/v1/leases/{}", lease_id.as_str().unwrap());
    for body in [json!({}), json!({ "locked": null }), json!({ "locked": "yes" }), json!({ "vanity": true })] {
        a.patch(&lease, &body).await.problem(422, "VALIDATION_FAILED");
    }
}
