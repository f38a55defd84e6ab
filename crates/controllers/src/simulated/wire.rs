//! The simulated cloud over HTTP: a server for one [`Local`] cloud, and the port
//! to it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use serde::de::DeserializeOwned;
use stowage_cloud::provider::{Answer, CloudProvider, Instance, LaunchRequest, Notice, ProviderError};
use stowage_cloud::simulated::Ledger;
use tokio::net::TcpListener;

use super::Local;

type Reply<T> = Result<Json<T>, (StatusCode, Json<ProviderError>)>;

fn reply<T>(answer: Result<T, ProviderError>) -> Reply<T> {
    answer.map(Json).map_err(|error| {
        let code = match error {
            ProviderError::NotFound => StatusCode::NOT_FOUND,
            ProviderError::Throttled => StatusCode::TOO_MANY_REQUESTS,
            ProviderError::TokenUsed => StatusCode::CONFLICT,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        (code, Json(error))
    })
}

async fn create(State(cloud): State<Local>, Json(request): Json<LaunchRequest>) -> Reply<Instance> {
    reply(cloud.create(&request).await)
}

async fn end(State(cloud): State<Local>, Json(id): Json<String>) -> Reply<()> {
    reply(cloud.delete(&id).await)
}

async fn one(State(cloud): State<Local>, Json(id): Json<String>) -> Reply<Instance> {
    reply(CloudProvider::get(&cloud, &id).await)
}

async fn list(State(cloud): State<Local>) -> Reply<Vec<Instance>> {
    reply(cloud.list().await)
}

async fn ledger(State(cloud): State<Local>) -> Json<Ledger> {
    Json(cloud.with(|cloud| cloud.ledger()))
}

async fn notices(State(cloud): State<Local>) -> Reply<Vec<Notice>> {
    reply(cloud.notices().await)
}

async fn drift(State(cloud): State<Local>) -> Reply<BTreeMap<String, String>> {
    reply(cloud.drift().await)
}

/// For whoever tries out what an interruption does.
async fn interrupt(State(cloud): State<Local>, Json(id): Json<String>) -> Reply<()> {
    reply(cloud.with(|simulated| simulated.interrupt(&id, cloud.clock.now())))
}

/// For whoever tries out what a new image does.
async fn image(State(cloud): State<Local>, Json(image): Json<String>) -> Reply<()> {
    cloud.with(|simulated| simulated.set_image(image));
    reply(Ok(()))
}

/// Serves a cloud until it is dropped.
pub async fn serve(listener: TcpListener, cloud: Local) -> std::io::Result<()> {
    let app = Router::new()
        .route("/instances", get(list).post(create))
        .route("/instance", post(one))
        .route("/end", post(end))
        .route("/ledger", get(ledger))
        .route("/notices", get(notices))
        .route("/drift", get(drift))
        .route("/interrupt", post(interrupt))
        .route("/image", post(image))
        .with_state(cloud);
    axum::serve(listener, app).await
}

/// The port to a simulated cloud elsewhere.
pub struct Remote {
    base: String,
    http: reqwest::Client,
}

impl Remote {
    /// The cloud at `address`.
    pub fn new(address: SocketAddr) -> Result<Self, ProviderError> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).no_proxy().build();
        Ok(Self { base: format!("http://{address}"), http: http.map_err(|error| lost(&error))? })
    }

    async fn ask<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T, ProviderError> {
        let response = request.send().await.map_err(|error| lost(&error))?;
        if response.status().is_success() {
            return response.json().await.map_err(|error| lost(&error));
        }
        Err(response.json().await.unwrap_or_else(|error| lost(&error)))
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ProviderError> {
        self.ask(self.http.post(format!("{}{path}", self.base)).json(body)).await
    }
}

fn lost(error: &reqwest::Error) -> ProviderError {
    ProviderError::NoAnswer(error.to_string())
}

impl CloudProvider for Remote {
    fn create<'a>(&'a self, request: &'a LaunchRequest) -> Answer<'a, Instance> {
        Box::pin(self.post("/instances", request))
    }

    fn delete<'a>(&'a self, provider_id: &'a str) -> Answer<'a, ()> {
        Box::pin(async move { self.post("/end", &provider_id).await })
    }

    fn get<'a>(&'a self, provider_id: &'a str) -> Answer<'a, Instance> {
        Box::pin(async move { self.post("/instance", &provider_id).await })
    }

    fn list(&self) -> Answer<'_, Vec<Instance>> {
        Box::pin(self.ask(self.http.get(format!("{}/instances", self.base))))
    }

    fn notices(&self) -> Answer<'_, Vec<Notice>> {
        Box::pin(self.ask(self.http.get(format!("{}/notices", self.base))))
    }

    fn drift(&self) -> Answer<'_, BTreeMap<String, String>> {
        Box::pin(self.ask(self.http.get(format!("{}/drift", self.base))))
    }
}
