//! Which shard this process is, what of the settings is its share, and what a shard may not be asked.

use crate::cli::ShardArguments;
use crate::config::{Qps, Settings};
use crate::export::Shard;
use crate::failure::{ExitCode, Failure};
use crate::sink::shard::{ShardName, tiles};
use crate::units::{Credits, EpochSeconds, TimeRange};

/// In how many parts of a request a second a rate is shared, so that the shares are exactly the whole.
const RATE_PARTS: f64 = 1e6;

/// The shard that the flags name; none where the whole question is read.
///
/// # Errors
/// Flags, or a variable, that name none.
pub(super) fn name_of(arguments: &ShardArguments) -> Result<Option<ShardName>, Failure> {
    let wrong = |error: &dyn std::error::Error| {
        Failure::from_error(ExitCode::Usage, error).with_hint("write --shard I/N, such as --shard 1/4")
    };
    if let Some(text) = &arguments.shard {
        return text.parse().map(Some).map_err(|error| wrong(&error));
    }
    let Some((variable, of)) = arguments.shard_index_from.as_ref().zip(arguments.shards) else { return Ok(None) };
    let text = std::env::var(variable).ok();
    let index = text.as_deref().and_then(|text| text.trim().parse::<u32>().ok());
    let Some(from_zero) = index else {
        let what = if text.is_some() { "holds no number" } else { "is not set" };
        return Err(Failure::new(
            ExitCode::Usage,
            format!("the variable {variable} {what}, and --shard-index-from names it"),
        )
        .with_hint(
            "it holds the shard's number from 0, as an indexed Job or an array job sets it; or write --shard 1/4",
        ));
    };
    if from_zero >= of {
        return Err(Failure::new(
            ExitCode::Usage,
            format!("the variable {variable} is {from_zero}, and of {of} shards the last is {}", i64::from(of) - 1),
        )
        .with_hint("number the shards from 0, as in --array=0-3 for --shards 4"));
    }
    ShardName::new(from_zero + 1, of).map(Some).map_err(|error| wrong(&error))
}

/// What the shard reads of the question.
///
/// # Errors
/// A question that shards which begin at different moments would not understand alike.
pub(super) fn of(
    name: ShardName,
    settings: &Settings,
    (range, now): (TimeRange, EpochSeconds),
) -> Result<Shard, Failure> {
    let question = &settings.question;
    let ends = [("from", question.from.as_ref()), ("to", Some(&question.to))];
    for (end, spec) in ends.into_iter().filter_map(|(end, spec)| Some((end, spec?))) {
        let hint = "write a date, a moment, or whole days, such as --from -7d --to -0d: every shard must mean the same seconds";
        if !spec.is_the_same_all_day() {
            let text = format!("`question.{end} = {spec}` means something else for each shard, whenever it begins");
            return Err(Failure::new(ExitCode::Usage, text).with_hint(hint));
        }
        if spec.resolve(now) > now {
            let text = format!("`question.{end} = {spec}` lies after this moment, which is another one for each shard");
            return Err(Failure::new(ExitCode::Usage, text).with_hint(hint));
        }
    }
    if settings.output.snapshot {
        return Err(Failure::new(ExitCode::Usage, "`output.snapshot = true` is not possible with shards")
            .with_hint("a snapshot is named after the day on which a run began, and shards begin on their own: leave one of the two out"));
    }
    let partition = settings.output.partition;
    let shares = tiles(&question.regions, range, partition, name.of());
    let tiles = shares.into_iter().nth(name.index() as usize - 1).unwrap_or_default();
    Ok(Shard { name, tiles })
}

/// The shard's share of the rate; learned where that is learned.
pub(super) fn rate(qps: Qps, shard: Option<ShardName>) -> Qps {
    match (qps, shard) {
        (Qps::PerSecond(rate), Some(name)) => {
            let parts = (rate * RATE_PARTS).round() as u64;
            Qps::PerSecond(name.share_of(parts).max(1) as f64 / RATE_PARTS)
        }
        (qps, _) => qps,
    }
}

/// The shard's share of the credits.
///
/// # Errors
/// Fewer credits than shards.
pub(super) fn credits(whole: Option<Credits>, shard: Option<ShardName>) -> Result<Option<Credits>, Failure> {
    let (Some(credits), Some(name)) = (whole, shard) else { return Ok(whole) };
    match name.share_of(credits.get()) {
        0 => Err(Failure::new(
            ExitCode::Usage,
            format!("`budget.max_credits = {}` is too little for {} shards", credits.get(), name.of()),
        )
        .with_hint("it is the bound of all shards together, and each needs at least 1")),
        share => Ok(Some(Credits::new(share))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(shard: Option<&str>) -> Result<Option<ShardName>, Failure> {
        name_of(&ShardArguments { shard: shard.map(str::to_owned), shard_index_from: None, shards: None })
    }

    #[test]
    fn a_shard_is_named_by_a_flag_or_by_a_variable() {
        assert_eq!(named(None).unwrap(), None);
        assert_eq!(named(Some("2/4")).unwrap(), Some(ShardName::new(2, 4).unwrap()));
        assert_eq!(named(Some("0/4")).unwrap_err().code(), ExitCode::Usage);
        let unset =
            ShardArguments { shard: None, shard_index_from: Some("NO_SUCH_VARIABLE".to_owned()), shards: Some(4) };
        assert!(name_of(&unset).unwrap_err().message().contains("NO_SUCH_VARIABLE is not set"));
    }

    #[test]
    fn shares_of_rate_and_credits_are_the_whole() {
        let shards: Vec<ShardName> = ShardName::all(3).collect();
        let rates = shards.iter().map(|name| match rate(Qps::PerSecond(10.0), Some(*name)) {
            Qps::PerSecond(rate) => (rate * RATE_PARTS).round() as u64,
            Qps::Auto => 0,
        });
        assert_eq!(rates.sum::<u64>(), 10_000_000);
        let credits_of = |whole| {
            shards
                .iter()
                .map(|name| credits(Some(Credits::new(whole)), Some(*name)).map(|share| share.unwrap().get()))
                .collect::<Result<Vec<_>, _>>()
        };
        assert_eq!(credits_of(10).unwrap(), [4, 3, 3]);
        assert!(credits_of(2).unwrap_err().message().contains("too little for 3 shards"));
        assert_eq!(rate(Qps::Auto, Some(shards[0])), Qps::Auto);
    }

    #[test]
    fn only_what_every_shard_understands_alike_is_asked() {
        let now = EpochSeconds::new(1_773_156_030);
        let asked = |from: &str, to: &str| {
            let mut settings = Settings::default();
            settings.question.regions = vec!["US".parse().unwrap()];
            (settings.question.from, settings.question.to) = (Some(from.parse().unwrap()), to.parse().unwrap());
            let range = settings.question.range(now).unwrap();
            of(ShardName::new(1, 2).unwrap(), &settings, (range, now)).map(|shard| shard.tiles.len())
        };
        assert_eq!(asked("-7d", "-0d").unwrap(), 1);
        assert_eq!(asked("2026-01-01", "2026-02-01").unwrap(), 1);
        for (from, to, wrong) in
            [("-7d", "now", "to = now"), ("-36h", "-0d", "from = -36h"), ("-7d", "2099-01-01", "to = 2099")]
        {
            assert!(asked(from, to).unwrap_err().message().contains(wrong), "{from} {to}");
        }
    }
}
