"""Asks "may this tenant send as this identifier, now?" over gRPC.

    python validate.py IDENTIFIER TENANT

Needs grpcio-tools from PyPI; takes NUMBERING_GRPC_ADDR and VALIDATOR_TOKEN from the environment (see dev.env).
"""

import os
import sys
from pathlib import Path

import grpc

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "proto"))
messages, services = grpc.protos_and_services("numbering/v1/numbering.proto")

identifier, tenant = sys.argv[1:3]
with grpc.insecure_channel(os.environ["NUMBERING_GRPC_ADDR"].split(",")[0]) as channel:
    answer = services.LeaseValidationStub(channel).ValidateLease(
        messages.ValidateLeaseRequest(identifier=identifier, tenant_id=tenant),
        metadata=[("authorization", "Bearer " + os.environ["VALIDATOR_TOKEN"])],
        timeout=2,
    )
if answer.valid:
    print(f"valid  lease_id={answer.lease_id}  effective_until={answer.effective_until.ToJsonString()}")
else:
    print("not valid ", messages.ValidateLeaseResponse.Reason.Name(answer.reason))
