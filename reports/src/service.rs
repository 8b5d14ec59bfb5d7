//! What the control plane calls.

use std::sync::Arc;

use proto::telemetry::data_plane_server::DataPlane;
use proto::telemetry::{
    CloseReply, CloseRequest, LiveReply, LiveRequest, NoteReply, NoteRequest, OpenReply, OpenRequest,
};
use tonic::{Request, Response, Status};

use crate::ingest::status;
use crate::store::Store;

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    store: Arc<Store>,
}

impl Service {
    /// For the runs in `store`.
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self { store }
    }
}

#[tonic::async_trait]
impl DataPlane for Service {
    async fn open(&self, request: Request<OpenRequest>) -> Result<Response<OpenReply>, Status> {
        let cell = self.store.open(request.into_inner()).map_err(|e| status(&e))?;
        let dir = cell.with(|run| Ok(run.state.opened.dir.clone())).map_err(|e| status(&e))?;
        Ok(Response::new(OpenReply { dir: dir.to_string_lossy().into_owned() }))
    }

    async fn live(&self, request: Request<LiveRequest>) -> Result<Response<LiveReply>, Status> {
        let cell = self.store.run(&request.into_inner().run).map_err(|e| status(&e))?;
        Ok(Response::new(cell.live()))
    }

    async fn note(&self, request: Request<NoteRequest>) -> Result<Response<NoteReply>, Status> {
        let note = request.into_inner();
        let cell = self.store.run(&note.run).map_err(|e| status(&e))?;
        cell.note(note).map_err(|e| status(&e))?;
        Ok(Response::new(NoteReply {}))
    }

    async fn close(&self, request: Request<CloseRequest>) -> Result<Response<CloseReply>, Status> {
        let request = request.into_inner();
        let cell = self.store.run(&request.run).map_err(|e| status(&e))?;
        // In a task of its own: a caller that hangs up must not leave a run half closed.
        let closed = tokio::spawn(async move { cell.close(request).await }).await;
        let reply = closed.map_err(|e| Status::internal(e.to_string()))?.map_err(|e| status(&e))?;
        Ok(Response::new(reply))
    }
}
