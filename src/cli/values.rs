//! Values of flags that clap does not read, or not with words of this program.

use std::ffi::OsStr;
use std::time::Duration;

use clap::Arg;
use clap::builder::{BoolishValueParser, PossibleValue, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::config::HumanDuration;

/// Reads a filter that the service knows as a number, not as yes or no.
pub(super) fn sales_flag(text: &str) -> Result<u8, String> {
    let known = text.parse::<u8>().ok().filter(|flag| *flag <= 2);
    known.ok_or_else(|| "write 0 (without product promotion), 1 (video sales) or 2 (live sales)".to_owned())
}

/// The shortest time between two looks.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// Reads how often to look.
pub(super) fn interval(text: &str) -> Result<HumanDuration, String> {
    let length: HumanDuration = text.parse().map_err(|_| "write a whole number and its unit, such as 5s".to_owned())?;
    if length.get() < SHORTEST_INTERVAL { Err("write 100ms or more, such as 5s".to_owned()) } else { Ok(length) }
}

/// Reads a whole number.
pub(super) fn whole<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits {
            "it is too large".to_owned()
        } else {
            "write a whole number in digits alone, such as 30".to_owned()
        }
    })
}

/// Reads a whole number above zero.
pub(super) fn at_least_one<T: std::str::FromStr + Default + PartialEq>(text: &str) -> Result<T, String> {
    let number: T = whole(text)?;
    if number == T::default() { Err("write 1 or more".to_owned()) } else { Ok(number) }
}

/// Reads yes or no as clap does, and says what would be right.
#[derive(Clone, Debug)]
pub(super) struct YesOrNo;

impl TypedValueParser for YesOrNo {
    type Value = bool;

    fn parse_ref(&self, command: &clap::Command, arg: Option<&Arg>, value: &OsStr) -> Result<bool, clap::Error> {
        BoolishValueParser::new().parse_ref(command, arg, value).map_err(|_| {
            let mut error = clap::Error::new(ErrorKind::ValueValidation).with_cmd(command);
            let flag = arg.map(ToString::to_string).unwrap_or_default();
            error.insert(ContextKind::InvalidArg, ContextValue::String(flag));
            error.insert(ContextKind::InvalidValue, ContextValue::String(value.to_string_lossy().into_owned()));
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec!["write true or false".into()]));
            error
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(["true", "false"].into_iter().map(PossibleValue::new)))
    }
}
