//! What would be asked, without asking it: the windows that a run begins with, and the addresses of its first requests. Later windows and
//! requests follow from answers. Pure.

use std::fmt::Write as _;

use serde::Serialize;

use crate::api::contract::{PageQuery, Region};
use crate::config::Settings;
use crate::export::ExportRequest;
use crate::failure::{ExitCode, Failure};
use crate::plan::planner::Planner;
use crate::units::TimeRange;

/// What would be asked.
#[derive(Debug, Serialize)]
pub(super) struct Dry {
    version: u32,
    dry_run: bool,
    requests_spent: u64,
    windows: Vec<Window>,
    requests: Vec<Request>,
}

#[derive(Debug, Serialize)]
struct Window {
    region: Region,
    range: TimeRange,
}

#[derive(Debug, Serialize)]
struct Request {
    region: Region,
    why: &'static str,
    url: String,
}

impl Dry {
    /// What a run that begins now, with nothing read before it, would ask first.
    ///
    /// # Errors
    /// An address that is none.
    pub(super) fn of(settings: &Settings, request: &ExportRequest) -> Result<Self, Failure> {
        let planner = Planner::new(&request.regions, request.filters.clone(), request.range);
        let windows =
            request.regions.iter().map(|region| Window { region: region.clone(), range: request.range }).collect();
        let address = |query: &PageQuery| url(settings, query);
        let mut requests = Vec::new();
        for (why, query) in planner.first_queries() {
            requests.push(Request { region: query.region.clone(), why, url: address(&query)? });
        }
        Ok(Self { version: 1, dry_run: true, requests_spent: 0, windows, requests })
    }

    /// The same for a person.
    pub(super) fn text(&self) -> String {
        let mut text = String::from(
            "nothing was sent; this is what a run that begins now would ask first, if nothing were read yet\n",
        );
        for Window { region, range } in &self.windows {
            let _ = writeln!(text, "window    {region} {range}");
        }
        for Request { region, why, url } in &self.requests {
            let _ = writeln!(text, "request   {region}: {why}\n          GET {url}");
        }
        text.push_str("what follows depends on the answers: windows are split by the density that they show\n");
        text
    }
}

fn url(settings: &Settings, query: &PageQuery) -> Result<String, Failure> {
    let service = &settings.service;
    let address = format!("{}{}", service.base_url.trim_end_matches('/'), service.path);
    let mut url = reqwest::Url::parse(&address).map_err(|error| {
        Failure::new(ExitCode::Usage, format!("{address} is no address: {error}"))
            .with_hint("see config/reference.toml, [service]")
    })?;
    url.query_pairs_mut().extend_pairs(query.pairs());
    Ok(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_requests_of_each_region_are_shown_and_nothing_is_sent() {
        let mut settings = Settings::default();
        settings.service.base_url = "https://api.example/".to_owned();
        let query = PageQuery {
            region: "US".parse().unwrap(),
            filters: Default::default(),
            min_create_time: Some(crate::units::EpochSeconds::new(9)),
            max_create_time: None,
            order: crate::api::contract::TimeOrder::OldestFirst,
            page: crate::units::PageNumber::FIRST,
        };
        let shown = url(&settings, &query).unwrap();
        assert!(
            shown.starts_with("https://api.example/v1/tiktok/video/list/analytics?region=US&min_create_time=9&"),
            "{shown}"
        );
        settings.service.base_url = "nowhere".to_owned();
        assert_eq!(url(&settings, &query).unwrap_err().code(), ExitCode::Usage);
    }
}
