//! `numbering serve`: the service itself, until SIGTERM or Ctrl-C.

use super::ConfigArgs;

/// What `serve` can be told.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<()> {
    // The service's parts are many: they need not stand on the stack of whoever runs a command.
    Box::pin(crate::app::serve(args.config.load_or_explain()?)).await
}
