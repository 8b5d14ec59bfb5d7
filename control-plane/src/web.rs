//! A small site for people: the fleet, the runs, the run that is on, the reports; and the same as JSON. It only reads.

mod files;
mod pages;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Json, Redirect, Response};
use axum::routing::get;

use crate::Token;
use crate::director::{Command, Handle, Unanswered};
use crate::view::{AgentView, RunView};

/// What the site's own pages may load: nothing from elsewhere.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The site.
pub(crate) fn site(director: Handle, token: Option<Token>) -> Router {
    Router::new()
        .route("/", get(overview))
        .route("/part", get(overview_part))
        .route("/runs", get(|| async { Redirect::permanent("/") }))
        .route("/runs/{id}", get(run))
        .route("/runs/{id}/part", get(run_part))
        .route("/runs/{id}/report", get(report))
        .route("/runs/{id}/files/{name}", get(file))
        .route("/api/fleet", get(api_fleet))
        .route("/api/runs", get(api_runs))
        .route("/api/runs/{id}", get(api_run))
        .fallback(|| async { Problem::NotFound("there is no such page".to_owned()) })
        .layer(axum::middleware::from_fn_with_state(token, admitted))
        .layer(axum::middleware::map_response(with_headers))
        .with_state(director)
}

/// Answers those only that show the token, if one is wanted.
async fn admitted(State(token): State<Option<Token>>, request: Request, next: Next) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|shown| shown.to_str().ok());
    if token.is_none_or(|token| shown.is_some_and(|shown| token.is_shown(shown))) {
        return next.run(request).await;
    }
    let ask = [(header::WWW_AUTHENTICATE, r#"Basic realm="throng: the token is the password", charset="UTF-8""#)];
    let text = "the control plane wants its token: as the password, or as `authorization: Bearer TOKEN`";
    (StatusCode::UNAUTHORIZED, ask, text).into_response()
}

async fn with_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer"));
    response
}

/// Why there is no page.
#[derive(Debug)]
pub(crate) enum Problem {
    /// No such run, page or file.
    NotFound(String),
    /// The director does not answer.
    Unanswered,
    /// A file can't be shown.
    File(String),
}

impl From<Unanswered> for Problem {
    fn from(Unanswered: Unanswered) -> Self {
        Self::Unanswered
    }
}

impl Problem {
    fn words(self) -> (StatusCode, String) {
        match self {
            Self::NotFound(text) => (StatusCode::NOT_FOUND, text),
            Self::Unanswered => (StatusCode::SERVICE_UNAVAILABLE, "the control plane is ending".to_owned()),
            Self::File(text) => (StatusCode::INTERNAL_SERVER_ERROR, text),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, text) = self.words();
        (status, Html(pages::problem(&text))).into_response()
    }
}

async fn fleet_and_runs(director: &Handle) -> Result<(Vec<AgentView>, Vec<RunView>), Problem> {
    Ok((director.ask(Command::Fleet).await?, director.ask(Command::Runs).await?))
}

async fn find(director: &Handle, id: String) -> Result<RunView, Problem> {
    let found = director.ask(|reply| Command::Run(id.clone(), reply)).await?;
    found.ok_or_else(|| Problem::NotFound(format!("there is no run `{id}`")))
}

async fn overview(State(director): State<Handle>) -> Result<Html<String>, Problem> {
    let (fleet, runs) = fleet_and_runs(&director).await?;
    Ok(Html(pages::frame("throng", "/part", &pages::overview(&fleet, &runs))))
}

async fn overview_part(State(director): State<Handle>) -> Result<Html<String>, Problem> {
    let (fleet, runs) = fleet_and_runs(&director).await?;
    Ok(Html(pages::overview(&fleet, &runs)))
}

async fn run(State(director): State<Handle>, Path(id): Path<String>) -> Result<Html<String>, Problem> {
    let run = find(&director, id).await?;
    let (title, part) = (format!("{} · throng", run.name), format!("/runs/{}/part", run.id));
    Ok(Html(pages::frame(&title, &part, &pages::run(&run))))
}

async fn run_part(State(director): State<Handle>, Path(id): Path<String>) -> Result<Html<String>, Problem> {
    Ok(Html(pages::run(&find(&director, id).await?)))
}

async fn report(State(director): State<Handle>, Path(id): Path<String>) -> Result<Response, Problem> {
    files::serve(&find(&director, id).await?, "report.html").await
}

async fn file(State(director): State<Handle>, Path((id, name)): Path<(String, String)>) -> Result<Response, Problem> {
    files::serve(&find(&director, id).await?, &name).await
}

/// A [`Problem`] for programs.
struct JsonProblem(Problem);

impl<T: Into<Problem>> From<T> for JsonProblem {
    fn from(problem: T) -> Self {
        Self(problem.into())
    }
}

impl IntoResponse for JsonProblem {
    fn into_response(self) -> Response {
        let (status, error) = self.0.words();
        (status, Json(serde_json::json!({ "error": error }))).into_response()
    }
}

async fn api_fleet(State(director): State<Handle>) -> Result<Json<Vec<AgentView>>, JsonProblem> {
    Ok(Json(director.ask(Command::Fleet).await?))
}

async fn api_runs(State(director): State<Handle>) -> Result<Json<Vec<RunView>>, JsonProblem> {
    Ok(Json(director.ask(Command::Runs).await?))
}

async fn api_run(State(director): State<Handle>, Path(id): Path<String>) -> Result<Json<RunView>, JsonProblem> {
    Ok(Json(find(&director, id).await?))
}
