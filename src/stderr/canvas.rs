//! A frame below scrolling text: which bytes take the former frame away, write the text, and draw the frame anew.
//!
//! Pure: the terminal's width comes in as an argument. All the bytes of one change are written at once, so nothing flickers.

/// What stands on the terminal below the text.
#[derive(Debug, Default)]
pub(super) struct Canvas {
    /// The columns that each drawn line takes; the cursor stands below the last one.
    drawn: Vec<usize>,
}

impl Canvas {
    /// The bytes that put `text`, whole lines, and below it `frame` in place of what is drawn. Without a width nothing is drawn.
    pub(super) fn replace(&mut self, text: &[u8], frame: &[String], columns: Option<usize>) -> Vec<u8> {
        let Some(columns) = columns.filter(|_| !(frame.is_empty() && self.drawn.is_empty())) else {
            return text.to_vec();
        };
        let mut bytes = self.erase(columns);
        bytes.extend_from_slice(text);
        if !text.is_empty() && !text.ends_with(b"\n") {
            bytes.push(b'\n');
        }
        for line in frame {
            // The last column stays free: a full line makes some terminals add an empty one.
            let line = super::cut(line, columns.saturating_sub(1));
            self.drawn.push(console::measure_text_width(&line));
            bytes.extend_from_slice(line.as_bytes());
            bytes.push(b'\n');
        }
        bytes
    }

    /// Up to the frame's first row, and everything below gone. A terminal that became narrower has broken long lines.
    fn erase(&mut self, columns: usize) -> Vec<u8> {
        let rows: usize = self.drawn.drain(..).map(|width| width.div_ceil(columns.max(1)).max(1)).sum();
        if rows == 0 { Vec::new() } else { format!("\u{1b}[{rows}A\r\u{1b}[J").into_bytes() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    fn replaced(canvas: &mut Canvas, text: &str, frame: &[&str], columns: usize) -> String {
        String::from_utf8(canvas.replace(text.as_bytes(), &lines(frame), Some(columns))).unwrap()
    }

    #[test]
    fn text_passes_above_the_frame() {
        let mut canvas = Canvas::default();
        assert_eq!(replaced(&mut canvas, "", &["US 0 %", "0 rows"], 80), "US 0 %\n0 rows\n");
        assert_eq!(
            replaced(&mut canvas, "a line\n", &["US 1 %", "9 rows"], 80),
            "\u{1b}[2A\r\u{1b}[Ja line\nUS 1 %\n9 rows\n"
        );
        assert_eq!(replaced(&mut canvas, "", &[], 80), "\u{1b}[2A\r\u{1b}[J");
        assert_eq!(replaced(&mut canvas, "the end\n", &[], 80), "the end\n");
    }

    #[test]
    fn a_frame_is_cut_to_the_terminal_and_erased_whole_after_it_became_narrower() {
        let mut canvas = Canvas::default();
        assert_eq!(replaced(&mut canvas, "", &["0123456789"], 8), "012345…\n");
        assert_eq!(replaced(&mut canvas, "", &["x"], 4), "\u{1b}[2A\r\u{1b}[Jx\n");
    }

    #[test]
    fn without_a_terminal_there_is_only_text() {
        let mut canvas = Canvas::default();
        assert_eq!(canvas.replace(b"a line\n", &lines(&["US"]), None), b"a line\n");
    }
}
