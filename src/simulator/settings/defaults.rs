//! The one place that says what every setting of the simulator is where nobody sets it: a healthy service.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{
    Access, Answering, Bound, Bounds, Compression, ContractSettings, DeadForm, Density, DriftSettings, EmptyPage,
    ErrorCharge, FaultSettings, Framing, KeyEcho, LimitKind, LimitSettings, Moment, OddSettings, OversizedPage,
    PageNum, PastLastPage, QuotaForm, RateHeaders, ShortPages, SimulatorSettings, Sort, ThrottleForm, TieOrder,
    TimeUnit, TroubleForm, WorldSettings,
};
use crate::units::{EpochSeconds, LAST_PAGE};

impl Default for SimulatorSettings {
    fn default() -> Self {
        Self {
            seed: 1,
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            world: WorldSettings::default(),
            contract: ContractSettings::default(),
            limits: LimitSettings::default(),
            faults: FaultSettings::default(),
            odd: OddSettings::default(),
            drift: DriftSettings::default(),
        }
    }
}

impl Default for WorldSettings {
    /// 100,000 rows in December 2025.
    fn default() -> Self {
        Self {
            regions: "US".parse().into_iter().collect(),
            from: Moment(EpochSeconds::new(1_764_547_200)),
            to: Moment(EpochSeconds::new(1_767_225_600)),
            rows: 100_000,
            density: Density::default(),
            dense_seconds: Vec::new(),
            as_of: None,
        }
    }
}

impl Default for ContractSettings {
    fn default() -> Self {
        Self {
            token: String::new(),
            access: Access::default(),
            key_echo: KeyEcho::default(),
            last_page: LAST_PAGE,
            past_last_page: PastLastPage::default(),
            min_bound: Bound::default(),
            max_bound: Bound::default(),
            time_unit: TimeUnit::default(),
            tie_order: TieOrder::default(),
            sort: Sort::default(),
            page_num: PageNum::default(),
            answering: Answering::default(),
            bounds: Bounds::default(),
            min_rounded_to_s: 1,
            oversized_page: OversizedPage::default(),
            ignored_filters: Vec::new(),
            short_pages: ShortPages::default(),
            short_fraction: 1.0,
            empty_page: EmptyPage::default(),
            compression: Compression::default(),
            framing: Framing::default(),
            date_offset_s: 0,
            age_s: None,
        }
    }
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            requests_per_second: 0,
            limit_kind: LimitKind::default(),
            bucket_capacity: 0,
            throttle_form: ThrottleForm::default(),
            rate_headers: RateHeaders::default(),
            retry_after_s: 0,
            credits: None,
            quota_form: QuotaForm::default(),
            error_charge: ErrorCharge::default(),
            latency_ms: 0.0,
            latency_p99_factor: 1.0,
            deep_page_ms: 0.0,
        }
    }
}

impl Default for FaultSettings {
    fn default() -> Self {
        Self {
            server_error: 0.0,
            bad_gateway: 0.0,
            error_inside: 0.0,
            not_json: 0.0,
            reset: 0.0,
            cut_body: 0.0,
            stall: 0.0,
            other_region: 0.0,
            other_time: 0.0,
            next_page: 0.0,
            stale: 0.0,
            trouble: TroubleForm::default(),
            trouble_after: 0,
            trouble_s: 5.0,
            stall_s: 60.0,
            poison: Vec::new(),
            refusal: 0.0,
            refusal_code: 403,
            refused_regions: Vec::new(),
            dead_regions: Vec::new(),
            dead_form: DeadForm::default(),
            regions_fail_after: 0,
        }
    }
}

impl Default for OddSettings {
    fn default() -> Self {
        Self {
            null_field: 0.0,
            missing_field: 0.0,
            decimal_amount: 0.0,
            number_as_text: 0.0,
            text_as_number: 0.0,
            unknown_field: 0.0,
            control_character: 0.0,
            lone_surrogate: 0.0,
            huge_description: 0.0,
            huge_bytes: 60_000,
            garbage: 0.0,
            null_row: 0.0,
            not_a_number: 0.0,
            repeated_field: 0.0,
            wrong_date: 0.0,
        }
    }
}

impl Default for DriftSettings {
    fn default() -> Self {
        Self {
            inserts_per_1000: 0.0,
            deletes_per_1000: 0.0,
            late_rows: 0,
            late_after_requests: 0,
            hidden: 0.0,
            hidden_in_a_row: 1,
            hidden_for_requests: 1_000_000,
        }
    }
}
