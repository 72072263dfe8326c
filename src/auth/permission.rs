//! What a caller may do: the permissions of the contract, and nothing else that a token may claim.

use std::fmt;

/// A permission (contract, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Look at numbers, leases, quotas.
    NumbersRead,
    /// Reserve, hold, release, lease, recall one's own.
    NumbersWrite,
    /// Lease without a reservation.
    NumbersLeaseBypass,
    /// Operators, keys, blocks, inventory, quotas, suspend, recall any, quarantine override, capacity, jobs.
    NumberingAdmin,
    /// Audit and reports.
    NumberingCompliance,
    /// Validate leases over gRPC.
    LeasesValidate,
}

impl Permission {
    /// All permissions.
    pub const ALL: [Self; 6] = [
        Self::NumbersRead,
        Self::NumbersWrite,
        Self::NumbersLeaseBypass,
        Self::NumberingAdmin,
        Self::NumberingCompliance,
        Self::LeasesValidate,
    ];

    /// The permission as tokens name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NumbersRead => "numbers.read",
            Self::NumbersWrite => "numbers.write",
            Self::NumbersLeaseBypass => "numbers.lease.bypass",
            Self::NumberingAdmin => "numbering.admin",
            Self::NumberingCompliance => "numbering.compliance",
            Self::LeasesValidate => "leases.validate",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of permissions.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Permissions(u8);

impl Permissions {
    /// Whether the permission is among them.
    #[must_use]
    pub const fn contains(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }

    /// The known permissions among these names. Names of other services' permissions are no concern of this one.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        names.into_iter().filter_map(|name| Permission::ALL.into_iter().find(|known| known.as_str() == name)).collect()
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(permissions.into_iter().fold(0, |bits, permission| bits | permission.bit()))
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(Permission::ALL.into_iter().filter(|p| self.contains(*p)).map(Permission::as_str))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_known_to_the_letter() {
        let granted = Permissions::from_names(["numbers.read", "NUMBERS.WRITE", "numbering.admin ", "other.read"]);
        for permission in Permission::ALL {
            assert_eq!(granted.contains(permission), permission == Permission::NumbersRead, "{permission}");
        }
        let all = Permissions::from_names(Permission::ALL.map(Permission::as_str));
        assert!(Permission::ALL.into_iter().all(|permission| all.contains(permission)));
    }
}
