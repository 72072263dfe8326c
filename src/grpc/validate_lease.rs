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
use super::pairs;
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

    /// The answer to one question.
    pub(super) async fn answer(&self, question: Question<'_>) -> Result<ValidateLeaseResponse, Status> {
        let answer = self.validation.validate(question.identifier, question.tenant).await.map_err(unavailable)?;
        Ok(response(&answer.verdict))
    }

    /// Refuses the pairs of a message, where they need not be read for that. More than may be asked are left to [`Self::answers`].
    pub(super) fn look_ahead(&self, message: &[u8]) -> Result<(), Status> {
        if !self.validation.is_full() {
            return Ok(());
        }
        pairs::first(message, PAIRS_MOST)
            .map_or(Ok(()), |first| self.validation.look_ahead(&first))
            .map_err(unavailable)
    }

    /// The answers to some questions, in their order.
    pub(super) async fn answers(&self, questions: &[Question<'_>]) -> Result<ValidateLeasesResponse, Status> {
        if questions.len() > PAIRS_MOST {
            return Err(Status::invalid_argument(format!("{} pairs, where {PAIRS_MOST} is the most", questions.len())));
        }
        let answers = self.validation.validate_many(questions).await.map_err(unavailable)?;
        Ok(ValidateLeasesResponse { items: answers.iter().map(|answer| response(&answer.verdict)).collect() })
    }
}

/// What a request asks.
pub(super) fn question(asked: &ValidateLeaseRequest) -> Question<'_> {
    Question { identifier: &asked.identifier, tenant: &asked.tenant_id }
}

/// What a request asks, in its order.
pub(super) fn questions(asked: &ValidateLeasesRequest) -> Vec<Question<'_>> {
    asked.items.iter().map(question).collect()
}

#[tonic::async_trait]
impl LeaseValidation for LeaseValidationService {
    async fn validate_lease(
        &self,
        request: Request<ValidateLeaseRequest>,
    ) -> Result<Response<ValidateLeaseResponse>, Status> {
        Ok(Response::new(self.answer(question(request.get_ref())).await?))
    }

    async fn validate_leases(
        &self,
        request: Request<ValidateLeasesRequest>,
    ) -> Result<Response<ValidateLeasesResponse>, Status> {
        Ok(Response::new(self.answers(&questions(request.get_ref())).await?))
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
