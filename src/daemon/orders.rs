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
    if matches!(request, Request::Status) {
        let (bans, wanted) = oneshot::channel();
        if orders.send((Request::Bans { target: None }, bans)).await.is_err() {
            return Response::Error(STOPPING.to_owned());
        }
        return match wanted.await {
            Ok(Response::Bans(bans)) => Response::Status(Box::new(facade.status(&bans))),
            _ => Response::Error(STOPPING.to_owned()),
        };
    }
    let (reply, answered) = oneshot::channel();
    if orders.send((request, reply)).await.is_err() {
        return Response::Error(STOPPING.to_owned());
    }
    answered.await.unwrap_or_else(|_| Response::Error(STOPPING.to_owned()))
}

const STOPPING: &str = "the daemon is stopping";
