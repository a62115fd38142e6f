//! Which metrics there are: their names, their kinds, and what each means. A name is a promise to dashboards and alerts.
//!
//! Every series has the label `output`, the output's folder: two jobs of one machine tell different series.

use super::text::{Family, counter, gauge};

/// Which version tells this.
pub(super) const BUILD_INFO: Family = gauge("keyapi_export_build_info", "1; the label says which version tells this.");
/// Whether a start is at work.
pub(super) const RUNNING: Family = gauge(
    "keyapi_export_running",
    "1 from the beginning of a start to its end. It stays 1 where the process was killed: then the time of the update stands still.",
);
/// When the start began.
pub(super) const START: Family =
    gauge("keyapi_export_start_timestamp_seconds", "When the latest start of the program began.");
/// When this was told.
pub(super) const UPDATE: Family = gauge(
    "keyapi_export_update_timestamp_seconds",
    "When these numbers were told: every 15 s while a start is at work, and at its end.",
);
/// Starts.
pub(super) const STARTS: Family = counter("keyapi_export_starts_total", "Starts of the program.");
/// Ends.
pub(super) const ENDS: Family = counter(
    "keyapi_export_ends_total",
    "Ends of starts by outcome. killed is one that ended without a word; the next start finds out and counts it.",
);
/// The latest exit code.
pub(super) const LAST_EXIT_CODE: Family =
    gauge("keyapi_export_last_exit_code", "Exit code of the latest start that ended; 0 is complete.");
/// When that was.
pub(super) const LAST_END: Family =
    gauge("keyapi_export_last_end_timestamp_seconds", "When the latest start that ended did so.");
/// How long it took.
pub(super) const LAST_DURATION: Family =
    gauge("keyapi_export_last_duration_seconds", "How long the latest start that ended took.");
/// The last success.
pub(super) const LAST_SUCCESS: Family = gauge(
    "keyapi_export_last_success_timestamp_seconds",
    "When a start last ended with exit code 0; 0 where none ever has. Kept over failures.",
);
/// What it reached.
pub(super) const LAST_SUCCESS_RANGE_END: Family = gauge(
    "keyapi_export_last_success_range_end_timestamp_seconds",
    "The end of the range of that start: what was created before is in the output.",
);
/// When the run began.
pub(super) const RUN_START: Family = gauge(
    "keyapi_export_run_start_timestamp_seconds",
    "When the run began that was worked on last, by its first start.",
);
/// The run's requests.
pub(super) const RUN_REQUESTS: Family =
    gauge("keyapi_export_run_requests", "Requests of the run over all its starts, by outcome. Each may cost a credit.");
/// The run's retries.
pub(super) const RUN_RETRIES: Family =
    gauge("keyapi_export_run_retries", "Requests of the run, over all its starts, that asked for a page again.");
/// The run's doubtful credits.
pub(super) const RUN_POSSIBLY_CHARGED: Family = gauge(
    "keyapi_export_run_possibly_charged_credits",
    "Requests of the run that were on their way when a process died. Whether they were charged is unknown.",
);
/// What the run has used of its credits.
pub(super) const RUN_SPENT: Family = gauge(
    "keyapi_export_run_spent_credits",
    "What counts against max_credits: all requests of the run, and those possibly charged.",
);
/// What the run may use.
pub(super) const RUN_MAX: Family = gauge("keyapi_export_run_max_credits", "max_credits, where it is set.");
/// How far the run is.
pub(super) const RUN_SETTLED: Family =
    gauge("keyapi_export_run_settled_ratio", "The share of the run's range that is read, 0 to 1.");
/// The run's rows.
pub(super) const RUN_ROWS: Family = gauge("keyapi_export_run_published_rows", "Rows in the parts of the run.");
/// All requests.
pub(super) const REQUESTS: Family = counter(
    "keyapi_export_requests_total",
    "Requests of all runs, by outcome: answered with a page, throttled, failed otherwise.",
);
/// All retries.
pub(super) const RETRIES: Family =
    counter("keyapi_export_retries_total", "Requests of all runs that asked for a page again.");
/// The latest page.
pub(super) const LAST_PAGE: Family =
    gauge("keyapi_export_last_page_timestamp_seconds", "When the latest page was safe in the journal.");
/// The rate.
pub(super) const PERMITTED: Family = gauge(
    "keyapi_export_permitted_requests_per_second",
    "Requests a second that are admitted, as learned of the service or as set; while a start is at work.",
);
/// A hold.
pub(super) const HELD: Family = gauge(
    "keyapi_export_held_seconds",
    "How long all requests still wait because the service asked for it; while a start is at work.",
);
/// The forecast.
pub(super) const REMAINING: Family =
    gauge("keyapi_export_remaining_seconds", "How long the rest may take; while a start is at work, once it is known.");
/// The newest row.
pub(super) const NEWEST_ROW: Family =
    gauge("keyapi_export_newest_row_timestamp_seconds", "The create time of the newest row that was read of a region.");
/// Rows at the end.
pub(super) const LAST_ROWS: Family =
    gauge("keyapi_export_last_published_rows", "Rows that the run had published when the latest start ended.");
/// Parts at the end.
pub(super) const LAST_PARTS: Family =
    gauge("keyapi_export_last_published_parts", "Files that the run had published when the latest start ended.");
/// Bytes at the end.
pub(super) const LAST_BYTES: Family = gauge("keyapi_export_last_published_bytes", "Size of these files.");
/// Rejected rows.
pub(super) const LAST_REJECTED: Family =
    gauge("keyapi_export_last_rejected_rows", "Rows without a usable id or time when the latest start ended.");
/// What is missing, as ranges.
pub(super) const LAST_MISSING_RANGES: Family = gauge(
    "keyapi_export_last_missing_ranges",
    "Ranges that are not whole when the latest start ended: gap could not be read, unproven was read and is in doubt, elsewhere \
     is missing outside what was asked.",
);
/// The same in seconds.
pub(super) const LAST_MISSING_SECONDS: Family =
    gauge("keyapi_export_last_missing_seconds", "The length of these ranges, summed over regions.");

/// Every metric, in the order in which it is told.
pub(super) const ALL: [Family; 32] = [
    BUILD_INFO,
    RUNNING,
    START,
    UPDATE,
    STARTS,
    ENDS,
    LAST_EXIT_CODE,
    LAST_END,
    LAST_DURATION,
    LAST_SUCCESS,
    LAST_SUCCESS_RANGE_END,
    RUN_START,
    RUN_REQUESTS,
    RUN_RETRIES,
    RUN_POSSIBLY_CHARGED,
    RUN_SPENT,
    RUN_MAX,
    RUN_SETTLED,
    RUN_ROWS,
    REQUESTS,
    RETRIES,
    LAST_PAGE,
    PERMITTED,
    HELD,
    REMAINING,
    NEWEST_ROW,
    LAST_ROWS,
    LAST_PARTS,
    LAST_BYTES,
    LAST_REJECTED,
    LAST_MISSING_RANGES,
    LAST_MISSING_SECONDS,
];
