//! Owns what a bench runs on: a worker, and a producer beside it, on a queue that is nobody else's.
//!
//! On the embedded queue that is a new file beside the configured one, so on the same disk; on RabbitMQ the virtual
//! host of the configured address, if its name says that it is for this, nothing waits in it and no worker works in
//! it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use secrecy::SecretString;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::BenchError;
use crate::{
    broker::{
        self, Broker,
        amqp::{Amqp, virtual_host},
        config::Target,
    },
    config::Config,
    ledger::Ledger,
    pipeline::Stages,
    shutdown::Shutdown,
    worker,
};

/// A running worker and a way to reach it.
pub(super) struct Rig {
    /// "RabbitMQ" or "embedded queue".
    pub kind: &'static str,
    /// Where producers and subscribers stand.
    pub broker: Arc<dyn Broker>,
    working: Arc<dyn Broker>,
    shutdown: Shutdown,
    worker: JoinHandle<()>,
    _folder: Option<TempDir>,
}

impl Rig {
    /// Starts a worker with these stages. On RabbitMQ the producer has connections of its own, as it has in production; the
    /// embedded queue is shared within one process, as there.
    ///
    /// # Errors
    /// Where the queue may be somebody's; nothing was put into it then.
    pub(super) async fn start(config: &Config, stages: Arc<Stages>) -> Result<Self, BenchError> {
        let address = config.broker.address()?;
        let (kind, broker, working, folder) = match Target::of(address.as_ref())? {
            Target::Embedded(path) => {
                let (broker, folder) = own_file(&path, config).await?;
                ("embedded queue", Arc::clone(&broker), broker, Some(folder))
            }
            Target::Amqp(url) => {
                let (broker, working) = own_virtual_host(url, config).await?;
                ("RabbitMQ", broker, working, None)
            }
        };
        let shutdown = Shutdown::default();
        let running =
            worker::run(Arc::clone(&working), Ledger::none(), stages, config.worker.clone(), shutdown.clone());
        Ok(Self { kind, broker, working, worker: tokio::spawn(running), shutdown, _folder: folder })
    }

    /// Ends the worker in order.
    pub(super) async fn stop(self) {
        self.shutdown.request();
        // Whatever the worker died of, its notes were counted as unanswered.
        let _ = self.worker.await;
        self.broker.close().await;
        if !Arc::ptr_eq(&self.broker, &self.working) {
            self.working.close().await;
        }
    }
}

async fn own_file(configured: &Path, config: &Config) -> Result<(Arc<dyn Broker>, TempDir), BenchError> {
    let beside =
        configured.parent().filter(|path| !path.as_os_str().is_empty()).map_or(PathBuf::from("."), Path::to_owned);
    std::fs::create_dir_all(&beside).map_err(BenchError::Folder)?;
    let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(beside).map_err(BenchError::Folder)?;
    let url = SecretString::from(format!("embedded:{}", folder.path().join("queue.sqlite").display()));
    Ok((broker::open(Some(&url), &config.broker).await?, folder))
}

/// Words that the name of a virtual host for benches holds.
const FOR_BENCHES: [&str; 2] = ["bench", "test"];

async fn own_virtual_host(
    url: &SecretString,
    config: &Config,
) -> Result<(Arc<dyn Broker>, Arc<dyn Broker>), BenchError> {
    let name = virtual_host(url, &config.broker)?;
    if !FOR_BENCHES.iter().any(|word| name.contains(word)) {
        return Err(BenchError::NotForBenches { name });
    }
    let working = broker::open(Some(url), &config.broker).await?;
    let producing = Amqp::open(url, &config.broker).await?;
    let (waiting, workers) = (producing.depth().await?.waiting, producing.workers().await?);
    if waiting > 0 || workers > 0 {
        return Err(BenchError::InUse { waiting, workers });
    }
    Ok((Arc::new(producing), working))
}
