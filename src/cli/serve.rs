//! `sprachpost serve`: the roles of one process, until a signal ends it.

use std::{io, process::ExitCode};

use clap::Args;

use crate::{
    app::{self, Role, StartError},
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
    match app::serve(config, &roles, reload, shutdown).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(StartError::Listen { address, source }) if source.kind() == io::ErrorKind::PermissionDenied => {
            let advice = "choose a port from 1024 on for http.listen, or give the process the right to lower ones";
            Err(anyhow::Error::from(source).context(format!("may not listen on {address}: {advice}")))
        }
        Err(error) => Err(error.into()),
    }
}
