//! Why no page comes: what is told of failures in a row. Pure.

/// Where one of so many failures since the last page is a throttled answer, throttling is named: a service that is asked too fast may well fail otherwise, too.
const NAMED_FROM: u32 = 4;

/// What failed since the last page.
#[derive(Debug, Default)]
pub(super) struct Silence {
    failed: u32,
    throttled: u32,
    last: Option<String>,
    last_throttled: Option<String>,
}

impl Silence {
    /// A page came.
    pub(super) fn page(&mut self) {
        (self.failed, self.throttled) = (0, 0);
    }

    /// An attempt failed, because requests come too fast or otherwise.
    pub(super) fn failed(&mut self, why: &str, is_throttled: bool) {
        let (count, last) = match is_throttled {
            true => (&mut self.throttled, &mut self.last_throttled),
            false => (&mut self.failed, &mut self.last),
        };
        *count = count.saturating_add(1);
        *last = Some(why.to_owned());
    }

    /// The failure that says most of why nothing comes: the last one, but that throttling is named where it makes up a part of all.
    pub(super) fn why(&self) -> Option<&str> {
        let all = self.failed.saturating_add(self.throttled);
        let is_throttled = self.throttled > 0 && self.throttled.saturating_mul(NAMED_FROM) >= all;
        let (first, other) = match is_throttled {
            true => (&self.last_throttled, &self.last),
            false => (&self.last, &self.last_throttled),
        };
        first.as_deref().or(other.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(answers: &[bool]) -> Option<String> {
        let mut silence = Silence::default();
        answers
            .iter()
            .for_each(|is_throttled| silence.failed(if *is_throttled { "429" } else { "500" }, *is_throttled));
        silence.why().map(str::to_owned)
    }

    /// An outage of 429 and 500 half and half was told as one of whichever came last.
    #[test]
    fn throttling_is_named_where_it_makes_up_a_part_of_what_fails() {
        let cases: [(&[bool], Option<&str>); 6] = [
            (&[], None),
            (&[false], Some("500")),
            (&[true], Some("429")),
            (&[true, false], Some("429")),
            (&[true, false, false, false], Some("429")),
            (&[true, false, false, false, false], Some("500")),
        ];
        for (answers, why) in cases {
            assert_eq!(told(answers).as_deref(), why, "{answers:?}");
        }
    }

    #[test]
    fn what_failed_before_a_page_does_not_count() {
        let mut silence = Silence::default();
        [true, true].iter().for_each(|is_throttled| silence.failed("429", *is_throttled));
        silence.page();
        silence.failed("500", false);
        assert_eq!(silence.why(), Some("500"));
    }
}
