//! `sprachpost serve`: the roles of one process, until a signal ends it.

use std::process::ExitCode;

use clap::Args;

use crate::{
    app::{self, Role},
    config::Config,
    shutdown::Shutdown,
    telemetry,
};

#[derive(Debug, Args)]
pub struct Arguments {
    /// What this process does; everything, unless named.
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = [Role::Gateway, Role::Worker, Role::Bridge])]
    roles: Vec<Role>,
}

pub async fn run(arguments: Arguments, config: Config) -> anyhow::Result<ExitCode> {
    telemetry::start_logging(&config.log)?;
    config.check()?;
    let shutdown = Shutdown::on_signals()?;
    app::serve(config, &arguments.roles, shutdown).await?;
    Ok(ExitCode::SUCCESS)
}
