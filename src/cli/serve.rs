//! `sprachpost serve`: the roles of one process, until a signal ends it.

use std::process::ExitCode;

use clap::Args;

use crate::{
    app::{self, Role},
    config::Config,
    reload::Reload,
    shutdown::Shutdown,
    telemetry,
};

#[derive(Debug, Args)]
pub struct Arguments {
    /// What this process does. Unless named, everything; but over RabbitMQ without a ledger, `watch` has to be named.
    #[arg(long, value_delimiter = ',', value_enum)]
    roles: Vec<Role>,
}

pub async fn run(arguments: Arguments, config: Config) -> anyhow::Result<ExitCode> {
    telemetry::start_logging(&config.log)?;
    config.check()?;
    let (shutdown, reload) = (Shutdown::on_signals()?, Reload::on_signal()?);
    let roles = if arguments.roles.is_empty() { Role::usual(&config)? } else { arguments.roles };
    app::serve(config, &roles, reload, shutdown).await?;
    Ok(ExitCode::SUCCESS)
}
