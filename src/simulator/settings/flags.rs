//! The settings as flags that stand over a file: only what is given on the command line changes anything.

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use serde_json::Value;

use super::{SettingsError, SimulatorSettings};

/// The flags of `simulate` as they were given, to be laid over settings from elsewhere.
#[derive(Clone, Debug, Default)]
pub struct SimulatorFlags(ArgMatches);

impl SimulatorFlags {
    /// `settings` with every given flag in place of its field, checked.
    ///
    /// # Errors
    /// A setting that is out of its bounds, whichever side it came from.
    pub fn over(&self, mut settings: SimulatorSettings) -> Result<SimulatorSettings, SettingsError> {
        // The values were parsed when the flags were read, so an error here could only be an unknown name: nothing to lay over.
        let _unchanged = settings.update_from_arg_matches(&self.0);
        settings.validate()?;
        Ok(settings)
    }
}

impl FromArgMatches for SimulatorFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(matches.clone()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0 = matches.clone();
        Ok(())
    }
}

impl Args for SimulatorFlags {
    fn augment_args(command: Command) -> Command {
        let known: Vec<String> = command.get_arguments().map(|arg| arg.get_id().to_string()).collect();
        let defaults = serde_json::to_value(SimulatorSettings::default()).unwrap_or_default();
        SimulatorSettings::augment_args_for_update(command).mut_args(|arg| {
            if known.iter().any(|name| arg.get_id() == name) { arg } else { with_default(arg, &defaults) }
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// The flag with its default and its place in a settings file in the help text.
fn with_default(arg: Arg, defaults: &Value) -> Arg {
    let name = arg.get_id().as_str();
    let tables = defaults.as_object().into_iter().flatten();
    let nested = tables.filter_map(|(table, fields)| Some((format!("simulator.{table}.{name}"), fields.get(name)?)));
    let top = defaults.get(name).map(|value| (format!("simulator.{name}"), value));
    let Some((place, value)) = top.into_iter().chain(nested).next() else { return arg };
    let value = match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    arg.help(format!("{help} [default: {value}] [file: {place}]"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::{Density, Moment};
    use crate::units::EpochSeconds;

    fn flags(given: &[&str]) -> SimulatorFlags {
        let command = SimulatorFlags::augment_args(Command::new("simulate").no_binary_name(true));
        SimulatorFlags::from_arg_matches(&command.try_get_matches_from(given).unwrap()).unwrap()
    }

    #[test]
    fn only_given_flags_stand_over_the_file() {
        let mut file = SimulatorSettings::default();
        file.world.rows = 7;
        file.world.density = Density::Bursty;
        file.limits.credits = Some(3);
        assert_eq!(flags(&[]).over(file.clone()).unwrap(), file);

        let laid = flags(&["--density", "one_hour", "--poison", "2025-12-02", "--regions", "GB,DE", "--regions", "FR"]);
        let settings = laid.over(file).unwrap();
        assert_eq!(settings.world.rows, 7);
        assert_eq!(settings.world.density, Density::OneHour);
        assert_eq!(settings.limits.credits, Some(3));
        assert_eq!(settings.faults.poison, [Moment(EpochSeconds::new(1_764_633_600))]);
        assert_eq!(settings.world.regions.len(), 3);
    }

    #[test]
    fn a_flag_out_of_its_bounds_is_refused_by_name() {
        let refused = flags(&["--last-page", "0"]).over(SimulatorSettings::default()).unwrap_err();
        assert_eq!(refused.to_string(), "simulator.contract.last_page is 0, which is not within 1 to 100000");
    }

    #[test]
    fn the_help_tells_default_and_file_key_of_every_flag() {
        let command = SimulatorFlags::augment_args(Command::new("simulate"));
        command.clone().debug_assert();
        let help: Vec<String> = command.get_arguments().map(|arg| arg.get_help().unwrap().to_string()).collect();
        assert!(help.len() > 50);
        assert!(help.iter().all(|text| text.contains("[default: ") && text.contains("[file: simulator.")), "{help:#?}");
        assert!(help.iter().any(|text| text.ends_with("[default: 100000] [file: simulator.world.rows]")));
        assert!(help.iter().any(|text| text.ends_with("[default: 1] [file: simulator.seed]")));
    }

    #[test]
    fn the_defaults_survive_a_settings_file_and_unknown_keys_do_not() {
        let text = toml::to_string(&SimulatorSettings::default()).unwrap();
        assert_eq!(toml::from_str::<SimulatorSettings>(&text).unwrap(), SimulatorSettings::default());
        assert!(toml::from_str::<SimulatorSettings>("[world]\nrowz = 1").is_err());
        assert!(SimulatorSettings::default().validate().is_ok());
    }
}
