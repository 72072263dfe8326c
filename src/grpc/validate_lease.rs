//! `ValidateLease` and `ValidateLeases` (US-NUM-002). Whoever comes here may ask: [`Session`](super::session::Session) has seen to it.

use std::sync::Arc;

use jiff::Timestamp;
use numbering_domain::lease::{Refusal, Verdict};
use numbering_proto::v1::lease_validation_server::LeaseValidation;
use numbering_proto::v1::validate_lease_response::Reason;
use numbering_proto::v1::{ValidateLeaseRequest, ValidateLeaseResponse, ValidateLeasesRequest, ValidateLeasesResponse};
use tonic::{Request, Response, Status};

use super::GrpcState;
use super::calls::try_again;
use crate::operations::validate::{Question, Unavailable, Validation};

/// The most pairs of one call (contract, section 4).
const PAIRS_MOST: usize = 1_000;

pub(super) struct LeaseValidationService {
    validation: Arc<Validation>,
}

impl LeaseValidationService {
    pub(super) fn new(state: &GrpcState) -> Self {
        Self { validation: Arc::clone(&state.validation) }
    }

    async fn answers(&self, items: &[ValidateLeaseRequest]) -> Result<Vec<ValidateLeaseResponse>, Status> {
        let questions: Vec<Question<'_>> =
            items.iter().map(|item| Question { identifier: &item.identifier, tenant: &item.tenant_id }).collect();
        let answers = self.validation.validate_many(&questions).await.map_err(unavailable)?;
        Ok(answers.iter().map(|answer| response(&answer.verdict)).collect())
    }
}

#[tonic::async_trait]
impl LeaseValidation for LeaseValidationService {
    async fn validate_lease(
        &self,
        request: Request<ValidateLeaseRequest>,
    ) -> Result<Response<ValidateLeaseResponse>, Status> {
        let ValidateLeaseRequest { identifier, tenant_id } = request.get_ref();
        let answer = self.validation.validate(identifier, tenant_id).await.map_err(unavailable)?;
        Ok(Response::new(response(&answer.verdict)))
    }

    async fn validate_leases(
        &self,
        request: Request<ValidateLeasesRequest>,
    ) -> Result<Response<ValidateLeasesResponse>, Status> {
        let items = &request.get_ref().items;
        if items.len() > PAIRS_MOST {
            return Err(Status::invalid_argument(format!("{} pairs, where {PAIRS_MOST} is the most", items.len())));
        }
        Ok(Response::new(ValidateLeasesResponse { items: self.answers(items).await? }))
    }
}

fn unavailable(unavailable: Unavailable) -> Status {
    try_again(&unavailable, unavailable.retry_after())
}

fn response(verdict: &Verdict) -> ValidateLeaseResponse {
    match verdict {
        Verdict::Valid { lease_id, until } => ValidateLeaseResponse {
            valid: true,
            reason: Reason::Unspecified.into(),
            lease_id: lease_id.to_string(),
            effective_until: Some(timestamp(*until)),
        },
        Verdict::Refused(refusal) => ValidateLeaseResponse {
            valid: false,
            reason: reason(*refusal).into(),
            lease_id: String::new(),
            effective_until: None,
        },
    }
}

const fn reason(refusal: Refusal) -> Reason {
    match refusal {
        Refusal::InvalidIdentifier => Reason::InvalidIdentifier,
        Refusal::NotRegistered => Reason::NotRegistered,
        Refusal::NotLeased => Reason::NotLeased,
        Refusal::LeaseRecalled => Reason::LeaseRecalled,
        Refusal::LeaseExpired => Reason::LeaseExpired,
        Refusal::WrongTenant => Reason::WrongTenant,
        Refusal::TenantSuspended => Reason::TenantSuspended,
        Refusal::LeaseSuspended => Reason::LeaseSuspended,
    }
}

fn timestamp(moment: Timestamp) -> prost_types::Timestamp {
    // Both parts are of one sign in jiff; before 1970 protobuf wants the nanoseconds counted forward.
    let (seconds, nanos) = (moment.as_second(), moment.subsec_nanosecond());
    if nanos < 0 {
        prost_types::Timestamp { seconds: seconds - 1, nanos: nanos + 1_000_000_000 }
    } else {
        prost_types::Timestamp { seconds, nanos }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_protobuf_wants_them() {
        for (micros, seconds, nanos) in
            [(1_800_000_000_250_000, 1_800_000_000, 250_000_000), (-250_000, -1, 750_000_000)]
        {
            let moment = Timestamp::from_microsecond(micros).unwrap();
            assert_eq!(timestamp(moment), prost_types::Timestamp { seconds, nanos });
        }
    }
}
