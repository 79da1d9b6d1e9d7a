//! Orders that come in over the control socket, handed on to those who carry them out.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::decide::Asked;
use super::status::Facade;
use crate::control::{Request, Response};

/// Answers an order: `status` from the figures, everything else by the decider.
pub(super) async fn answer(
    request: Request,
    facade: Arc<Facade>,
    orders: mpsc::Sender<Asked>,
) -> Response {
    let response = if matches!(request, Request::Status) {
        let banned = ask(&orders, Asked::Counts).await;
        banned.map(|banned| Response::Status(Box::new(facade.status(&banned))))
    } else {
        ask(&orders, |reply| Asked::Order(request, reply)).await
    };
    response.unwrap_or_else(|| Response::Error(STOPPING.to_owned()))
}

/// `None` when the decider is gone.
async fn ask<T>(
    orders: &mpsc::Sender<Asked>,
    question: impl FnOnce(oneshot::Sender<T>) -> Asked,
) -> Option<T> {
    let (reply, answered) = oneshot::channel();
    orders.send(question(reply)).await.ok()?;
    answered.await.ok()
}

const STOPPING: &str = "the daemon is stopping";
