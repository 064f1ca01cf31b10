//! The colours and weights that text has at a terminal, by the SGR sequences before it.

/// The longest sequence that is taken for a colour, in bytes.
pub(super) const LONGEST_SEQUENCE: usize = 64;

/// One kind of what SGR sets: the parameters that set it now, and nothing where it is as usual.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Style {
    /// By kind (`kind_of`), in the order in which they were set.
    set: Vec<(u8, String)>,
}

impl Style {
    pub(super) fn is_usual(&self) -> bool {
        self.set.is_empty()
    }

    /// Whether text in this style does not show.
    pub(super) fn hides(&self) -> bool {
        self.set.iter().any(|(kind, _)| *kind == CONCEAL)
    }

    /// The sequence that sets all of it, from the usual.
    pub(super) fn sequence(&self) -> String {
        let all: Vec<&str> = self
            .set
            .iter()
            .map(|(_, parameters)| parameters.as_str())
            .collect();
        format!("\x1b[{}m", all.join(";"))
    }

    /// Takes the parameters of an SGR sequence: digits, semicolons and colons.
    pub(super) fn apply(&mut self, parameters: &str) {
        let mut rest = parameters.split(';');
        while let Some(first) = rest.next() {
            let mut whole = first.to_owned();
            let code = first.split(':').next().unwrap_or_default();
            let code: u16 = if code.is_empty() {
                0
            } else {
                code.parse().unwrap_or(u16::MAX)
            };
            if matches!(code, 38 | 48 | 58) && !first.contains(':') {
                // A colour: 5 and its number, or 2 and three parts.
                let form = rest.next().unwrap_or_default();
                let parts = match form {
                    "5" => 1,
                    "2" => 3,
                    _ => 0,
                };
                for part in std::iter::once(form).chain(rest.by_ref().take(parts)) {
                    whole.push(';');
                    whole.push_str(part);
                }
            }
            let ends: &[u8] = match code {
                0 => {
                    self.set.clear();
                    continue;
                }
                10 => &[FONT],
                22 => &[BOLD, FAINT],
                23 => &[ITALIC],
                24 => &[UNDERLINE],
                25 => &[BLINK],
                27 => &[REVERSE],
                28 => &[CONCEAL],
                29 => &[STRIKE],
                39 => &[FOREGROUND],
                49 => &[BACKGROUND],
                54 => &[FRAME],
                55 => &[OVERLINE],
                59 => &[UNDERLINE_COLOUR],
                75 => &[SCRIPT],
                _ => &[],
            };
            if !ends.is_empty() {
                self.set.retain(|(kind, _)| !ends.contains(kind));
                continue;
            }
            let kind = kind_of(code);
            self.set.retain(|(other, _)| *other != kind);
            self.set.push((kind, whole));
            // One sequence has to set all of it, and a longer one is none.
            while self.sequence().len() > LONGEST_SEQUENCE && !self.set.is_empty() {
                self.set.remove(0);
            }
        }
    }
}

const BOLD: u8 = 1;
const FAINT: u8 = 2;
const ITALIC: u8 = 3;
const UNDERLINE: u8 = 4;
const BLINK: u8 = 5;
const REVERSE: u8 = 7;
const CONCEAL: u8 = 8;
const STRIKE: u8 = 9;
const FONT: u8 = 10;
const FOREGROUND: u8 = 30;
const BACKGROUND: u8 = 40;
const FRAME: u8 = 51;
const OVERLINE: u8 = 53;
const UNDERLINE_COLOUR: u8 = 58;
const SCRIPT: u8 = 73;
/// What is not known here: the last of them counts.
const OTHER: u8 = 255;

fn kind_of(code: u16) -> u8 {
    match code {
        1 => BOLD,
        2 => FAINT,
        3 => ITALIC,
        4 | 21 => UNDERLINE,
        5 | 6 => BLINK,
        7 => REVERSE,
        8 => CONCEAL,
        9 => STRIKE,
        11..=20 => FONT,
        30..=38 | 90..=97 => FOREGROUND,
        40..=48 | 100..=107 => BACKGROUND,
        51 | 52 => FRAME,
        53 => OVERLINE,
        58 => UNDERLINE_COLOUR,
        73 | 74 => SCRIPT,
        _ => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::Style;

    /// The sequence after these, without its ends.
    fn after(sequences: &[&str]) -> String {
        let mut style = Style::default();
        for parameters in sequences {
            style.apply(parameters);
        }
        if style.is_usual() {
            return String::new();
        }
        style
            .sequence()
            .trim_start_matches("\x1b[")
            .trim_end_matches('m')
            .to_owned()
    }

    #[test]
    fn what_is_set_is_known_until_it_is_ended() {
        assert_eq!(after(&["31"]), "31");
        assert_eq!(after(&["1;31", "4"]), "1;31;4");
        assert_eq!(after(&["31", "92"]), "92");
        assert_eq!(after(&["1;2;31", "22"]), "31");
        assert_eq!(after(&["31", "44", "39"]), "44");
        for end in ["", "0", "00", "1;0", ";"] {
            assert_eq!(after(&["7;31", end]), "", "{end}");
        }
        assert_eq!(after(&["0;31"]), "31");
        assert_eq!(after(&["31", ";1"]), "1");
    }

    #[test]
    fn one_sequence_sets_all_of_it() {
        let long = "1".repeat(50);
        let sets = after(&["3", "4:0000000003", &format!("38;5;{long}"), "1"]);
        assert_eq!(sets, format!("38;5;{long};1"));
        assert!(sets.len() + 3 <= super::LONGEST_SEQUENCE);
    }

    #[test]
    fn hidden_text_is_known() {
        let hides = |sequences: &[&str]| {
            let mut style = Style::default();
            sequences
                .iter()
                .for_each(|parameters| style.apply(parameters));
            style.hides()
        };
        assert!(hides(&["8"]) && hides(&["1;08;31"]) && hides(&["8:1"]));
        assert!(!hides(&["8", "28"]) && !hides(&["8;0"]) && !hides(&["38;5;8"]));
    }

    #[test]
    fn a_colour_may_have_parts() {
        assert_eq!(after(&["38;5;0;1"]), "38;5;0;1");
        assert_eq!(
            after(&["38;2;0;0;0", "48:2::1:2:3"]),
            "38;2;0;0;0;48:2::1:2:3"
        );
        assert_eq!(after(&["38;2;0;0;0", "39"]), "");
        assert_eq!(after(&["4:3", "24"]), "");
        // One that breaks off sets nothing that stays without its end.
        assert_eq!(after(&["38", "39"]), "");
        assert_eq!(after(&["99999999999999999999", "0"]), "");
    }
}
