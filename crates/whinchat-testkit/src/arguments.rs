//! The words of a command, taken out one by one.

/// The words of one line; quotes are kept around what was quoted.
pub(crate) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for character in line.chars() {
        match character {
            '\'' => {
                quoted = !quoted;
                word.push(character);
            }
            ' ' if !quoted => {
                if !word.is_empty() {
                    words.push(core::mem::take(&mut word));
                }
            }
            other => word.push(other),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// The arguments of one command.
pub(crate) struct Arguments<'a> {
    line: &'a str,
    words: Vec<String>,
}

impl<'a> Arguments<'a> {
    pub(crate) fn new(line: &'a str, words: &[String]) -> Self {
        Self {
            line,
            words: words.to_vec(),
        }
    }

    /// The number of `name=number`.
    pub(crate) fn number<T: core::str::FromStr>(&mut self, name: &str) -> Option<T> {
        let position = self.words.iter().position(|word| {
            word.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('='))
        })?;
        let word = self.words.remove(position);
        match word[name.len() + 1..].parse() {
            Ok(number) => Some(number),
            Err(_) => panic!("{word} is no number in: {}", self.line),
        }
    }

    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let found = self.words.iter().position(|word| word == name);
        found.map(|position| self.words.remove(position)).is_some()
    }

    pub(crate) fn next(&mut self) -> Option<String> {
        (!self.words.is_empty()).then(|| self.words.remove(0))
    }

    /// All that is left, which is the words of a packet.
    pub(crate) fn rest(&mut self) -> String {
        core::mem::take(&mut self.words).join(" ")
    }

    pub(crate) fn finish(self) {
        assert!(
            self.words.is_empty(),
            "{:?} is not understood in: {}",
            self.words,
            self.line
        );
    }
}
