//! YAML's own errors in plain words.

use granit_parser::{ErrorKind, ScanError};

/// Whether an error is about a tab.
pub(crate) fn is_tab(error: &ScanError) -> bool {
    use ErrorKind as E;
    matches!(error.kind(), E::TabNotAllowed | E::TabInBlockIndentation | E::TabInIndentation | E::TabInPlainScalar)
}

/// What a syntax error means, and what usually mends it.
pub(crate) fn explain(error: &ScanError) -> (String, Option<&'static str>) {
    use ErrorKind as E;
    let (words, hint) = match error.kind() {
        E::TabNotAllowed | E::TabInBlockIndentation | E::TabInIndentation | E::TabInPlainScalar => {
            ("a tab stands where YAML wants spaces", Some("indent with spaces"))
        }
        E::InvalidIndentation
        | E::ExpectedBlockMappingKey
        | E::ExpectedBlockSequenceEntry
        | E::InvalidFlowScalarIndent => (
            "the indentation doesn't fit the lines above",
            Some("keys of one mapping, and the dashes of one list, begin in the same column"),
        ),
        E::RecursionLimitExceeded => {
            ("lists and mappings are nested too deeply", Some("a scenario needs no more than six levels"))
        }
        E::UnclosedFlowCollection { open: '[' } | E::UnexpectedEofFlowSequence => {
            ("a `[` is never closed", Some("add the `]`"))
        }
        E::UnclosedFlowCollection { .. } | E::UnexpectedEofFlowMapping | E::UnexpectedEofImplicitFlowMapping => {
            ("a `{` is never closed", Some("add the `}`"))
        }
        E::ExpectedFlowMappingSeparator => (
            "a `,` or `}` is missing here",
            Some("inside `{ … }` the pairs are parted by commas; put text with `,`, `{` or `}` in quotes"),
        ),
        E::ExpectedFlowSequenceSeparator => {
            ("a `,` or `]` is missing here", Some("inside `[ … ]` the items are parted by commas"))
        }
        E::MismatchedFlowCollectionEnd { .. } | E::MisplacedFlowCollectionEnd => {
            ("this bracket closes nothing, or closes the wrong one", Some("`[` goes with `]`, `{` with `}`"))
        }
        E::UnclosedQuotedScalar => ("a quote is never closed", Some("add the closing quote")),
        E::InvalidTrailingSingleQuotedScalar | E::InvalidTrailingDoubleQuotedScalar => {
            ("text follows a closing quote", Some("put the whole value in quotes"))
        }
        E::UnknownQuotedScalarEscape
        | E::InvalidQuotedScalarHexEscape
        | E::InvalidUnicodeEscape
        | E::InvalidLowSurrogate
        | E::InvalidLowSurrogateHexEscape
        | E::MissingLowSurrogate
        | E::UnpairedLowSurrogate => {
            ("this `\\` escape doesn't exist", Some("use single quotes where a backslash is meant as it is"))
        }
        E::SimpleKeyExpected | E::InvalidSimpleKey => (
            "a `:` is missing after a key, or the indentation is wrong",
            Some("a line reads `key: value`, with a space after the colon"),
        ),
        E::MappingValueNotAllowed | E::InvalidColonPlacement | E::MappingKeyNotAllowed => {
            ("a `key: value` can't begin here", Some("check the indentation, and put text that holds `: ` in quotes"))
        }
        E::BlockSequenceEntryNotAllowed | E::BlockEntryInFlowCollection | E::InvalidBlockEntryWhitespace => {
            ("a list item (`- `) can't begin here", Some("check the indentation"))
        }
        E::UnexpectedCharacter { character } => {
            let message = format!("no value can begin with `{}`", crate::diagnostic::printable(*character));
            return (format!("this is not YAML: {message}"), Some("put it in quotes if it is meant as text"));
        }
        E::DirectiveDisallowed => ("directives (`%…`) are not part of the scenario language", Some("remove the line")),
        E::UnexpectedEof | E::UnexpectedEofBlockMapping | E::UnexpectedEofBlockSequence => {
            ("the file ends in the middle of a value", None)
        }
        other => return (format!("this is not YAML: {other}"), None),
    };
    (format!("this is not YAML: {words}"), hint)
}
