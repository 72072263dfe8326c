//! The gRPC methods × every role × every defect of a token. `ValidateLease` tells who has what, so it answers to
//! `leases.validate` alone.

use std::collections::BTreeSet;

use numbering_proto::FILE_DESCRIPTOR_SET;
use numbering_proto::v1::lease_validation_client::LeaseValidationClient;
use numbering_proto::v1::{ValidateLeaseRequest, ValidateLeasesRequest};
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::transport::Channel;
use tonic::{Code, Request};

use super::defects::{DEFECTS, Forger};
use super::permissions::ROLES;
use super::requests::prepare;
use super::traces::Traces;
use crate::support::TestApp;

/// The methods of the interface, as its description has them.
fn described() -> BTreeSet<String> {
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    let services = set.file.into_iter().filter(|file| file.package() == "numbering.v1").flat_map(|file| file.service);
    services
        .flat_map(|service| {
            let name = service.name().to_owned();
            service.method.into_iter().map(move |method| format!("{name}/{}", method.name()))
        })
        .collect()
}

const METHODS: [&str; 2] = ["LeaseValidation/ValidateLease", "LeaseValidation/ValidateLeases"];

/// Calls the method; what it says, as text.
async fn call(
    client: &mut LeaseValidationClient<Channel>,
    method: &str,
    identifier: &str,
    authorization: Option<&str>,
) -> Result<String, tonic::Status> {
    fn with<T>(message: T, authorization: Option<&str>) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(authorization) = authorization {
            request.metadata_mut().insert("authorization", authorization.parse().unwrap());
        }
        request
    }
    let pair = ValidateLeaseRequest { identifier: identifier.to_owned(), tenant_id: "tenant-a".to_owned() };
    match method {
        "LeaseValidation/ValidateLease" => {
            client.validate_lease(with(pair, authorization)).await.map(|answer| format!("{answer:?}"))
        }
        "LeaseValidation/ValidateLeases" => {
            let pairs = ValidateLeasesRequest { items: vec![pair] };
            client.validate_leases(with(pairs, authorization)).await.map(|answer| format!("{answer:?}"))
        }
        other => panic!("{other}: say here how it is called"),
    }
}

#[tokio::test]
async fn a_validation_is_answered_to_the_service_permission_alone() {
    assert_eq!(described(), METHODS.map(str::to_owned).into());
    let app = TestApp::start().await;
    let subject = prepare(&app, &app.stock_numbers(1).await[0], "LEASED").await;
    let mut client = LeaseValidationClient::connect(format!("http://{}", app.grpc)).await.unwrap();
    let forger = Forger::new(&app.issuer);
    let before = Traces::of(&app.superuser().await).await;
    for method in METHODS {
        let refusal = call(&mut client, method, &subject.number, None).await.unwrap_err();
        assert_eq!(refusal.code(), Code::Unauthenticated, "{method} without a token: {refusal:?}");
        for role in ROLES {
            let token = format!("Bearer {}", app.issuer.sign(&role.claims()));
            // Who may not is told so before what is asked is looked at, so that nothing can be learned from the answer.
            for identifier in [subject.number.as_str(), "+93799999999", "not an identifier"] {
                let answer = call(&mut client, method, identifier, Some(&token)).await;
                match (role.name, answer) {
                    ("validator", answer) => assert_eq!(
                        answer.as_ref().is_ok_and(|text| text.contains(&subject.lease_id)),
                        identifier == subject.number,
                        "{answer:?}"
                    ),
                    (name, Err(refusal)) => {
                        assert_eq!(refusal.code(), Code::PermissionDenied, "{method} by {name}: {refusal:?}");
                        assert_eq!(refusal.message(), "this needs the permission leases.validate");
                    }
                    (name, Ok(answer)) => panic!("{method} by {name}: {answer}"),
                }
            }
            for (defect, forge) in DEFECTS {
                let token = forge(&forger, &role.claims());
                let refusal = call(&mut client, method, &subject.number, Some(&token)).await.unwrap_err();
                assert_eq!(refusal.code(), Code::Unauthenticated, "{method}, {defect}, {}: {refusal:?}", role.name);
                assert!(!format!("{refusal:?}").contains(&subject.lease_id), "{refusal:?}");
            }
        }
    }
    assert_eq!(Traces::of(&app.superuser().await).await, before, "a question leaves nothing behind");
    app.stop().await;
}
