//! What a verdict means for settings and for a run, in words. Pure.

/// What a verdict on this property means.
pub(super) fn of(name: &str, verdict: &str) -> &'static str {
    if name.starts_with("filter_") {
        return of_filter(verdict);
    }
    match (name, verdict) {
        ("key", "accepted") => "run can use this key",
        ("key", "quota_spent") => "buy credits, or wait until the quota is renewed",
        ("key", "unknown") => "nothing shows yet whether run can use this key",
        ("key", _) => "run cannot use this key as it is",
        ("min_bound" | "max_bound", "inclusive") => {
            "run asks one second wider until it has seen this itself, then exactly"
        }
        ("min_bound" | "max_bound", "exclusive") => "run asks one second wider, and does not look for more",
        ("min_bound" | "max_bound", _) => "run asks one second wider and drops what is too much",
        ("sort", "honoured") => "run walks in order of time",
        ("sort", "ignored") => "run falls back to windows that it reads to their end, which costs more",
        ("ties", "stable") => "one second of many pages can be read from both ends",
        ("ties", "unmirrored") => "one second above the cap cannot be read from both ends",
        ("ties", "fresh") => "run reads seconds that fill pages more than once",
        ("page_size", "honoured") => "larger pages would cost fewer credits; run asks for the documented 10",
        ("page_size", _) => "nothing: run asks for the documented 10",
        ("past_the_end", "repeats") => "run sees rows again and takes them for doubt; expect more requests",
        ("past_the_end", _) => "nothing: run takes each of these for an end and looks behind it",
        ("time_unit", "seconds") => "run sends seconds",
        ("time_unit", "milliseconds") => "run sends seconds and would find nothing here",
        ("page_overlap", "none") => "each page is bought once",
        ("page_overlap", "row_offset" | "from_zero" | "same_rows") => {
            "run stops with exit code 6: pages are not as documented"
        }
        ("last_page", "unknown") => "run takes the documented 100,000, and learns a lower one by itself",
        ("last_page", _) => "run begins anew before this page, without looking for it",
        ("rate_limit", "limited") => "run can begin at this rate",
        ("rate_limit", "not_met") => "run finds the limit by itself",
        ("rate_limit", _) => "add --rate to find it out; run finds it by itself",
        (_, _) => "nothing: run is right either way",
    }
}

fn of_filter(verdict: &str) -> &'static str {
    match verdict {
        "works" => "the filter can be used",
        "ignored" => "do not use the filter: rows that do not pass come too, and are exported",
        "refused" => "do not use the filter: the service refuses it",
        _ => "nothing is known of the filter",
    }
}
