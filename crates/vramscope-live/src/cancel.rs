//! The wish to stop a run, from a signal handler or another task.

use tokio::sync::watch;

/// Stops a run when told to.
#[derive(Debug, Clone)]
pub struct CancelHandle(watch::Sender<bool>);

/// What a run looks at.
#[derive(Debug, Clone)]
pub struct CancelToken(watch::Receiver<bool>);

/// A handle and its token.
pub fn cancel() -> (CancelHandle, CancelToken) {
    let (sender, receiver) = watch::channel(false);
    (CancelHandle(sender), CancelToken(receiver))
}

impl CancelHandle {
    /// Asks for the end. To ask again changes nothing.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }
}

impl CancelToken {
    /// Whether somebody has asked for the end.
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until somebody asks for the end; for ever if nobody can any more.
    pub async fn cancelled(&mut self) {
        if self.0.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
