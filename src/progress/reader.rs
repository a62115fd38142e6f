//! The task that looks at the telling from time to time and shows it: bars on a terminal, a heartbeat elsewhere.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::progress::frame::{Size, frame};
use crate::progress::{Progress, Screen, lines};
use crate::stderr::{self, Stderr};

/// How often a run without bars says that it is alive.
pub const HEARTBEAT: Duration = Duration::from_secs(30);
/// How often bars are drawn.
const FRAME: Duration = Duration::from_millis(125);
/// How long the end waits for the bars to be taken away: what follows stands alone where the terminal takes anything at all.
const LAST_FRAME: Duration = Duration::from_millis(500);

/// The running display; dropping it ends the display too, at the next tick and without clearing the bars.
#[derive(Debug)]
pub struct Reader {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Reader {
    /// Shows `progress` on `screen` until [`Reader::finish`]. Must be called inside a runtime.
    pub fn start(progress: Progress, screen: &Screen) -> Self {
        let (stop, stopped) = oneshot::channel();
        let task = match screen {
            Screen::Bars(stderr) => tokio::spawn(draw(progress, stderr.clone(), stopped)),
            Screen::Lines => tokio::spawn(beat(progress, stopped)),
        };
        Self { stop, task }
    }

    /// Ends the display and takes the bars off the terminal, so that what follows stands alone.
    pub async fn finish(self) {
        // The task ends with the sender, and a display that broke is not worth an error.
        let _ended = self.stop.send(());
        let _joined = self.task.await;
    }
}

async fn draw(progress: Progress, stderr: Stderr, mut stopped: oneshot::Receiver<()>) {
    let mut frames = interval_at(Instant::now(), FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = frames.tick() => stderr.show(frame(&progress.view(), size())),
            _ = &mut stopped => break,
        }
    }
    stderr.show(Vec::new());
    stderr.flush(LAST_FRAME);
}

fn size() -> Size {
    stderr::size().map_or_else(Size::default, |(rows, columns)| Size { rows, columns })
}

async fn beat(progress: Progress, mut stopped: oneshot::Receiver<()>) {
    // Looked at more often than told, so that the rate covers the last minute and not the moments of two heartbeats.
    let mut looks = interval_at(Instant::now(), Duration::from_secs(1));
    let mut beats = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    loop {
        tokio::select! {
            biased;
            _ = &mut stopped => break,
            _ = beats.tick() => lines::heartbeat(&progress.view()),
            _ = looks.tick() => drop(progress.view()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;
    use crate::progress::{Event, RegionStart};
    use crate::units::{Credits, EpochSeconds, RowCount, TimeRange};

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Captured {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn off_a_terminal_a_run_beats_every_thirty_seconds_in_whole_lines() {
        let captured = Captured::default();
        let subscriber = tracing_subscriber::fmt().with_writer(captured.clone()).with_ansi(false).finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let progress = Progress::new();
        let range = TimeRange::new(EpochSeconds::new(0), EpochSeconds::new(10));
        let regions = vec![RegionStart { region: "US".parse().unwrap(), rows: RowCount::new(7), range_seconds: 1_000 }];
        progress.send(Event::RunStarted { range, regions, attempts: Credits::new(3) });
        let reader = Reader::start(progress, &Screen::Lines);
        tokio::time::advance(Duration::from_millis(1)).await;
        tokio::time::sleep(Duration::from_secs(95)).await;
        reader.finish().await;
        let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.matches("running").count(), 3, "{text}");
        assert_eq!(text.matches("rows=7").count(), 3, "{text}");
        assert!(!text.contains('\r'));
    }
}
