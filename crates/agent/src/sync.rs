//! The control plane's clock against ours, kept up to date.

use std::time::Duration;

use measure::{Clock, Course, Estimate, Estimator, Exchange, Timestamp};
use proto::control::TimeRequest;
use proto::control::agents_client::AgentsClient;
use tokio::sync::watch;
use tonic::transport::Channel;

/// Exchanges for the first estimate; the filter holds as many.
const FIRST: usize = 8;
/// How often there is another exchange. What the clocks drift meanwhile is extrapolated, and how much that may be wrong is
/// in the bound.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
/// How long one exchange may take.
const WITHIN: Duration = Duration::from_secs(2);

/// What is known of the control plane's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    /// Its time, as it is to be read until something newer is known.
    pub course: Course,
    /// Exchanges with it so far; none, where it is our own.
    pub exchanges: u64,
    /// How often they contradicted each other: one of the clocks was set, or slewed.
    pub jumps: u64,
}

impl Known {
    fn of(course: Course, estimator: &Estimator) -> Self {
        Self { course, exchanges: estimator.observed(), jumps: estimator.jumps() }
    }
}

/// What is known of a control plane's clock, kept up to date for as long as somebody looks at it. On the same host it is
/// the same clock, and nobody has to be asked.
///
/// # Errors
/// When the control plane doesn't tell its time.
pub(crate) async fn follow(
    mut client: AgentsClient<Channel>,
    same_clock: bool,
    clock: Clock,
) -> Result<watch::Receiver<Known>, String> {
    let (set, known) = watch::channel(Known::default());
    if !same_clock {
        let mut estimator = Estimator::default();
        let estimate = estimate(&mut client, &mut estimator, &clock).await?;
        set.send_replace(Known::of(Course::begin(&estimate), &estimator));
        tokio::spawn(keep(client, estimator, clock, set));
    }
    Ok(known)
}

/// Asks until there is an estimate.
async fn estimate(
    client: &mut AgentsClient<Channel>,
    estimator: &mut Estimator,
    clock: &Clock,
) -> Result<Estimate, String> {
    for _ in 0..FIRST {
        let exchange = exchange(client, clock).await?;
        estimator.observe(exchange);
    }
    estimator.estimate(clock.now()).ok_or_else(|| "no exchange of time".to_owned())
}

/// Keeps a course up to date until nobody looks at it any more. Where an exchange fails, the estimate stays, and its bound
/// grows with its age.
async fn keep(mut client: AgentsClient<Channel>, mut estimator: Estimator, clock: Clock, known: watch::Sender<Known>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(AGAIN_AFTER) => {}
            () = known.closed() => return,
        }
        match exchange(&mut client, &clock).await {
            Ok(exchange) => estimator.observe(exchange),
            Err(e) => tracing::debug!("no exchange of time: {e}"),
        }
        if let Some(estimate) = estimator.estimate(clock.now()) {
            known.send_modify(|known| *known = Known::of(known.course.steer(&estimate), &estimator));
        }
    }
}

async fn exchange(client: &mut AgentsClient<Channel>, clock: &Clock) -> Result<Exchange, String> {
    let asked = clock.now();
    let answer = tokio::time::timeout(WITHIN, client.time(TimeRequest {})).await;
    let returned = clock.now();
    let reply = answer.map_err(|_| "the control plane did not tell its time".to_owned())?;
    let reply = reply.map_err(|e| format!("the control plane did not tell its time: {}", e.message()))?.into_inner();
    let (received, answered) = (Timestamp::from_nanos(reply.received_ns), Timestamp::from_nanos(reply.answered_ns));
    Ok(Exchange { asked, received, answered, returned })
}
