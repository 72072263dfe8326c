//! Who may do what: the one table that the matrix is held against.

use serde_json::Value;

use crate::support::tokens::claims;

/// Whoever calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Role {
    pub(super) name: &'static str,
    pub(super) tenant: Option<&'static str>,
    permissions: &'static [&'static str],
}

/// The columns of the table. What is acted on is always `tenant-a`'s.
pub(super) const ROLES: [Role; 8] = [
    Role { name: "reader", tenant: Some("tenant-a"), permissions: &["numbers.read"] },
    Role { name: "writer", tenant: Some("tenant-a"), permissions: &["numbers.read", "numbers.write"] },
    Role { name: "other", tenant: Some("tenant-b"), permissions: &["numbers.read", "numbers.write"] },
    Role { name: "untied", tenant: None, permissions: &["numbers.read", "numbers.write"] },
    Role { name: "admin", tenant: None, permissions: &["numbering.admin"] },
    Role { name: "compliance", tenant: None, permissions: &["numbering.compliance"] },
    Role { name: "validator", tenant: None, permissions: &["leases.validate"] },
    Role { name: "nobody", tenant: Some("tenant-a"), permissions: &[] },
];

impl Role {
    pub(super) fn claims(&self) -> Value {
        claims(&format!("{}-of-matrix", self.name), self.tenant, self.permissions)
    }

    /// Whether this role may see what is `tenant-a`'s.
    pub(super) fn sees_all_of_a(&self) -> bool {
        ["reader", "writer", "admin", "compliance"].contains(&self.name)
    }
}

/// Cells: `ok` is the operation's success; `no` is 403 FORBIDDEN before anything else is looked at; `tie` is 403 FORBIDDEN
/// because the token names no tenant; else the code of the refusal. `state` is that of `tenant-a`'s number.
const TABLE: &str = "
operation                                                      state       success  reader  writer  other                      untied  admin  compliance  validator  nobody
GET    /v1/numbers/available                                   AVAILABLE   200      ok      ok      ok                         ok      ok     no          no         no
GET    /v1/numbers                                             HELD        200      ok      ok      ok                         tie     tie    no          no         no
GET    /v1/numbers/{identifier}                                LEASED      200      ok      ok      ok                         ok      ok     no          no         no
POST   /v1/numbers/{identifier}/reserve                        AVAILABLE   200      no      ok      ok                         tie     no     no          no         no
POST   /v1/numbers/reserve                                     AVAILABLE   200      no      ok      ok                         tie     no     no          no         no
POST   /v1/numbers/{identifier}/extend                         RESERVED    200      no      ok      RESERVED_BY_OTHER_TENANT   tie     no     no          no         no
POST   /v1/numbers/{identifier}/hold                           RESERVED    200      no      ok      RESERVED_BY_OTHER_TENANT   tie     no     no          no         no
POST   /v1/numbers/{identifier}/release                        HELD        200      no      ok      HELD_BY_OTHER_TENANT       tie     no     no          no         no
POST   /v1/numbers/{identifier}/lease                          HELD        201      no      ok      HELD_BY_OTHER_TENANT       tie     ok     no          no         no
POST   /v1/numbers/{identifier}/recall                         LEASED      200      no      ok      NOT_LEASE_HOLDER           tie     ok     no          no         no
GET    /v1/leases                                              LEASED      200      ok      ok      ok                         tie     ok     no          no         no
GET    /v1/leases/{leaseId}                                    LEASED      200      ok      ok      NOT_FOUND                  NOT_FOUND  ok  no          no         no
PATCH  /v1/leases/{leaseId}                                    LEASED      200      no      ok      NOT_FOUND                  NOT_FOUND  ok  no          no         no
GET    /v1/quota                                               AVAILABLE   200      ok      ok      ok                         tie     no     no          no         no
GET    /v1/exports/numbers                                     HELD        200      ok      ok      ok                         tie     tie    no          no         no
GET    /v1/exports/leases                                      LEASED      200      ok      ok      ok                         tie     ok     no          no         no
GET    /v1/admin/numbering/exports/audit                       LEASED      200      no      no      no                         no      ok     ok          no         no
POST   /v1/admin/numbers/{identifier}/suspend                  LEASED      200      no      no      no                         no      ok     no          no         no
POST   /v1/admin/numbers/{identifier}/reinstate                SUSPENDED   200      no      no      no                         no      ok     no          no         no
POST   /v1/admin/numbers/{identifier}/quarantine/release       QUARANTINE  200      no      no      no                         no      ok     no          no         no
GET    /v1/admin/numbers/{identifier}/history                  LEASED      200      no      no      no                         no      ok     ok          no         no
GET    /v1/admin/numbering/audit                               LEASED      200      no      no      no                         no      ok     ok          no         no
GET    /v1/admin/numbering/reports/quarantine-overrides        QUARANTINE  200      no      no      no                         no      ok     ok          no         no
GET    /v1/admin/numbering/alerts                              AVAILABLE   200      no      no      no                         no      ok     no          no         no
GET    /v1/admin/numbering/pools/capacity                      AVAILABLE   200      no      no      no                         no      ok     no          no         no
GET    /v1/admin/numbering/tenants/{tenantId}                  LEASED      200      no      no      no                         no      ok     no          no         no
PUT    /v1/admin/numbering/tenants/{tenantId}                  AVAILABLE   200      no      no      no                         no      ok     no          no         no
PUT    /v1/admin/numbering/tenants/{tenantId}/quotas           AVAILABLE   200      no      no      no                         no      ok     no          no         no
GET    /v1/admin/numbering/operators/{operatorId}              AVAILABLE   200      no      no      no                         no      ok     no          no         no
PUT    /v1/admin/numbering/operators/{operatorId}              AVAILABLE   200      no      no      no                         no      ok     no          no         no
POST   /v1/admin/numbering/operators/{operatorId}/keys         AVAILABLE   201      no      no      no                         no      ok     no          no         no
DELETE /v1/admin/numbering/operators/{operatorId}/keys/{keyId} AVAILABLE   204      no      no      no                         no      ok     no          no         no
GET    /v1/admin/numbering/prices                              AVAILABLE   200      no      no      no                         no      ok     no          no         no
POST   /v1/admin/numbering/prices                              AVAILABLE   201      no      no      no                         no      ok     no          no         no
DELETE /v1/admin/numbering/prices/{priceId}                    AVAILABLE   204      no      no      no                         no      ok     no          no         no
GET    /v1/admin/numbering/cascades                            AVAILABLE   200      no      no      no                         no      ok     no          no         no
POST   /v1/admin/numbering/cascades/{cascadeId}/confirm        AVAILABLE   200      no      no      no                         no      ok     no          no         no
POST   /v1/admin/numbering/inventory                           AVAILABLE   200      no      no      no                         no      ok     no          no         no
GET    /v1/admin/numbering/jobs                                AVAILABLE   200      no      no      no                         no      ok     no          no         no
POST   /v1/admin/numbering/jobs/{job}/run                      AVAILABLE   200      no      no      no                         no      ok     no          no         no
GET    /v1/admin/numbering/blocks                              AVAILABLE   200      no      no      no                         no      ok     no          no         no
GET    /v1/admin/numbering/blocks/{blockId}                    AVAILABLE   200      no      no      no                         no      ok     no          no         no
GET    /v1/admin/numbering/blocks/{blockId}/rejects            AVAILABLE   200      no      no      no                         no      ok     no          no         no
POST   /v1/admin/numbering/blocks/import                       AVAILABLE   200      no      no      no                         no      ok     no          no         no
";

/// What a role may expect of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its success.
    Allowed,
    /// 403 FORBIDDEN, whatever else may be wrong with the request.
    Forbidden,
    /// 403 FORBIDDEN, as the token names no tenant.
    TenantRequired,
    /// A refusal of this code.
    Refused(&'static str),
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// The state of the number that is acted on.
    pub(super) state: &'static str,
    pub(super) success: u16,
    verdicts: [Verdict; ROLES.len()],
}

impl Row {
    pub(super) fn verdicts(&self) -> impl Iterator<Item = (Role, Verdict)> {
        ROLES.into_iter().zip(self.verdicts)
    }

    pub(super) fn operation(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

pub(super) fn rows() -> Vec<Row> {
    let mut lines = TABLE.trim().lines();
    let heading: Vec<&str> = lines.next().unwrap().split_whitespace().skip(3).collect();
    assert_eq!(heading, ROLES.map(|role| role.name));
    lines.map(row).collect()
}

fn row(line: &'static str) -> Row {
    let mut cells = line.split_whitespace();
    let mut cell = || cells.next().unwrap_or_else(|| panic!("too few cells: {line}"));
    let (method, path, state, success) = (cell(), cell(), cell(), cell().parse().unwrap());
    let verdicts = std::array::from_fn(|_| match cell() {
        "ok" => Verdict::Allowed,
        "no" => Verdict::Forbidden,
        "tie" => Verdict::TenantRequired,
        code => Verdict::Refused(code),
    });
    assert_eq!(cells.next(), None, "too many cells: {line}");
    Row { method, path, state, success, verdicts }
}
