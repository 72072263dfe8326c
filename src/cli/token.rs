//! `numbering token`: a token for a development installation, signed with the key that `numbering dev` made.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use numbering_domain::TenantId;

use super::dev::identity::{Claims, Issuer};
use super::print_out;
use crate::auth::Permission;
use crate::config::Period;

/// What `token` can be told.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Who acts: the claim `sub`
    #[arg(long, value_name = "SUB")]
    sub: String,
    /// The tenant that they act for: the claim `tenant_id`
    #[arg(long, value_name = "TENANT", value_parser = TenantId::parse)]
    tenant: Option<TenantId>,
    /// What they may do; may be given more than once
    #[arg(long = "permission", value_name = "PERMISSION", required = true, value_delimiter = ',',
          value_parser = PossibleValuesParser::new(Permission::ALL.map(Permission::as_str)))]
    permissions: Vec<String>,
    /// How long the token is good for
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = super::period)]
    ttl: Period,
    /// The data directory of `numbering dev`
    #[arg(long, value_name = "DIR", default_value = ".dev")]
    data_dir: PathBuf,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let issuer = Issuer::existing(&args.data_dir)?;
    let permissions: Vec<&str> = args.permissions.iter().map(String::as_str).collect();
    let tenant = args.tenant.as_ref().map(TenantId::as_str);
    let claims = Claims { sub: &args.sub, tenant, permissions: &permissions };
    print_out(&format!("{}\n", issuer.token(&claims, args.ttl)?))
}
