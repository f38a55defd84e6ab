//! Metrics and probes, each on a port of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::metrics::Metrics;

/// Whether this process knows the cluster.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// It does now.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Serves `/metrics`.
pub async fn metrics(address: SocketAddr, metrics: Arc<Metrics>) -> std::io::Result<()> {
    let text = move || {
        let metrics = metrics.clone();
        async move { ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], metrics.text()) }
    };
    let app = Router::new().route("/metrics", get(text));
    axum::serve(TcpListener::bind(address).await?, app).await
}

/// Serves `/healthz` and `/readyz`.
pub async fn probes(address: SocketAddr, readiness: Readiness) -> std::io::Result<()> {
    let ready = move || {
        let known = readiness.0.load(Ordering::Relaxed);
        async move { if known { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "not yet") } }
    };
    let app = Router::new().route("/healthz", get(|| async { "ok" })).route("/readyz", get(ready));
    axum::serve(TcpListener::bind(address).await?, app).await
}
