//! YAML as a tree in which every key and value knows its place.
//!
//! The events come from the parser under serde-saphyr; serde itself would stop at the first error, and knows no place
//! of keys. A file that ends in a syntax error still yields the tree of what stood before it, so that the errors there
//! are found as well.

use granit_parser::{Event, Options, Parser, ScanError, Span as Place, StrInput, StructureStyle};

use crate::diagnostic::{Diagnostics, Span};
use crate::variables::Shield;

/// Lists and mappings inside each other; the language itself needs six.
const DEEPEST: usize = 32;

/// Anchors, aliases and tags that are told of.
const MOST_SHARING_TOLD: u32 = 10;

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) kind: Kind,
    /// A syntax error cut it off: what is missing in it may have stood behind.
    pub(crate) cut: bool,
}

impl Node {
    pub(crate) fn new(span: Span, kind: Kind) -> Self {
        Self { span, kind, cut: false }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Map),
    /// An error was reported here; nothing more is said about it.
    Refused,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Scalar {
    /// As it stands in the file; what messages quote.
    pub(crate) raw: String,
    /// With variables replaced; never printed where it differs from `raw`.
    pub(crate) value: String,
    /// Plain, without quotes.
    pub(crate) plain: bool,
}

impl Scalar {
    pub(crate) fn has_variables(&self) -> bool {
        self.raw != self.value
    }

    /// Nothing: an empty value, `~` or `null`.
    pub(crate) fn is_null(&self) -> bool {
        self.plain && matches!(self.raw.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Map {
    pub(crate) entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) value: Node,
}

#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) span: Span,
    pub(crate) name: String,
}

/// Reads a text (source number `source`, from byte `from` on) into a tree; errors go to `errors`. `None` if there is
/// nothing to go on with.
pub(crate) fn read(source: usize, from: usize, errors: &mut Diagnostics) -> Option<Node> {
    read_until(source, from, errors).0
}

/// As [`read`], and where a syntax error ended it.
pub(crate) fn read_until(source: usize, from: usize, errors: &mut Diagnostics) -> (Option<Node>, Option<usize>) {
    let text = errors.texts()[source].text.clone();
    let mut options = Options::default();
    options.disallow_directives = true;
    options.emit_unresolved_aliases = true;
    options.flow_nesting_limit = DEEPEST;
    options.block_nesting_limit = DEEPEST;
    options.set_emit_comments(false);
    let shield = Shield::over(&text[from..]);
    let parser = Parser::new_from_str_with_options(&shield.text, options);
    let mut builder =
        Builder { source, from, text: &text, shield: &shield, errors, open: Vec::new(), root: None, sharing_told: 0 };
    let broken_at = builder.run(parser);
    (builder.root, broken_at)
}

struct Builder<'a> {
    source: usize,
    from: usize,
    text: &'a str,
    shield: &'a Shield,
    errors: &'a mut Diagnostics,
    open: Vec<Open>,
    root: Option<Node>,
    /// How many anchors, aliases and tags were refused: an alias bomb has a hundred of them.
    sharing_told: u32,
}

/// A list or mapping that is being read.
struct Open {
    span: Span,
    flow: bool,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Node>),
    Map { map: Map, key: Option<Option<Key>> },
}

impl<'a> Builder<'a> {
    fn run(&mut self, parser: Parser<'a, StrInput<'a>>) -> Option<usize> {
        let (mut documents, mut broken_at) = (0, None);
        for event in parser {
            let (event, place) = match event {
                Ok(event) => event,
                Err(error) => {
                    broken_at = Some(self.syntax(&error));
                    break;
                }
            };
            let span = self.span(place);
            match event {
                Event::DocumentStart(..) => {
                    documents += 1;
                    if documents > 1 {
                        self.errors.add(
                            span,
                            "a second document begins here",
                            Some("one file, one scenario: write it without `---`".into()),
                        );
                        break;
                    }
                }
                Event::Scalar(value, style, anchor, tag) => {
                    self.refuse_sharing(span, anchor != 0, tag.is_some());
                    let plain = style == granit_parser::ScalarStyle::Plain;
                    let raw = Shield::lift(&value);
                    let scalar = Scalar { value: raw.clone(), raw, plain };
                    self.put(Node::new(span, Kind::Scalar(scalar)));
                }
                Event::Alias(_) | Event::UnresolvedAlias(_) => {
                    self.refuse_sharing(span, true, false);
                    self.put(Node::new(span, Kind::Refused));
                }
                Event::SequenceStart(style, anchor, tag) => {
                    self.refuse_sharing(span, anchor != 0, tag.is_some());
                    self.begin(span, style, OpenKind::List(Vec::new()));
                }
                Event::MappingStart(style, anchor, tag) => {
                    self.refuse_sharing(span, anchor != 0, tag.is_some());
                    self.begin(span, style, OpenKind::Map { map: Map::default(), key: None });
                }
                Event::SequenceEnd | Event::MappingEnd => self.end(Some(span)),
                _ => {}
            }
        }
        while !self.open.is_empty() {
            self.end(None);
        }
        if let Some(root) = self.root.as_mut().filter(|_| broken_at.is_some()) {
            cut_along_the_end(root, self.text);
        }
        broken_at
    }

    fn span(&self, place: Place) -> Span {
        let range = place.byte_range().unwrap_or_default();
        let place = |at| self.from + self.shield.original(at);
        Span { source: self.source, start: place(range.start), end: place(range.end) }
    }

    fn syntax(&mut self, error: &ScanError) -> usize {
        let start = self.from + self.shield.original(error.marker().byte_offset().unwrap_or_default());
        let is_tab = crate::syntax::is_tab(error);
        let start = if is_tab { tab_at_or_after(self.text, start) } else { start };
        // The end of the file is no place to point to: its last character is.
        let start = start.min(self.text.trim_end().len().max(self.from));
        let end = self.text[start.min(self.text.len())..].chars().next().map_or(start, |c| start + c.len_utf8());
        let (message, hint) = crate::syntax::explain(error);
        let mut hint = hint.map(str::to_owned);
        if let Some((hint, lines)) = hint.as_mut().zip(lines_with_tabs(&self.text[start..]).filter(|_| is_tab)) {
            hint.push_str(&lines);
        }
        self.errors.add(Span { source: self.source, start, end }, message, hint);
        start
    }

    fn refuse_sharing(&mut self, span: Span, shares: bool, tagged: bool) {
        if (shares || tagged) && self.sharing_told < MOST_SHARING_TOLD {
            self.sharing_told += 1;
            let (what, hint) = if shares {
                (
                    "anchors and aliases (`&name`, `*name`) are not part of the scenario language",
                    "write the value out where it is used",
                )
            } else {
                (
                    "tags (`!name`) are not part of the scenario language",
                    "leave the tag out: every key knows the type of its value",
                )
            };
            let span = property_before(self.text, span).unwrap_or(span);
            self.errors.add(span, what, Some(hint.into()));
        }
    }

    fn begin(&mut self, span: Span, style: StructureStyle, kind: OpenKind) {
        // As the key of a mapping, a list or mapping is refused in `put`.
        self.open.push(Open { span, flow: style == StructureStyle::Flow, kind });
    }

    fn end(&mut self, place: Option<Span>) {
        let Some(open) = self.open.pop() else { return };
        let mut span = open.span;
        let kind = match open.kind {
            OpenKind::List(items) => {
                if let Some(first) = items.first().filter(|_| !open.flow) {
                    span = first.span;
                }
                Kind::List(items)
            }
            OpenKind::Map { mut map, key } => {
                if let Some(Some(key)) = key.filter(|_| place.is_some()) {
                    let value = Node::new(key.span, Kind::Refused);
                    map.entries.push(Entry { key, value });
                }
                // A block mapping has no bracket to point at; its first key is where people look.
                if let Some(first) = map.entries.first().filter(|_| !open.flow) {
                    span = first.key.span;
                }
                Kind::Map(map)
            }
        };
        if let Some(place) = place.filter(|_| open.flow) {
            span.end = place.end;
        }
        self.put(Node { span, kind, cut: place.is_none() });
    }

    fn put(&mut self, node: Node) {
        match self.open.last_mut().map(|open| &mut open.kind) {
            None => self.root = Some(node),
            Some(OpenKind::List(items)) => items.push(node),
            Some(OpenKind::Map { map, key }) => match key.take() {
                None => *key = Some(as_key(node, self.errors)),
                Some(Some(key)) => map.entries.push(Entry { value: at_least_the_key(node, &key), key }),
                // Its key was refused.
                Some(None) => {}
            },
        }
    }
}

/// Marks everything as cut off: what is missing may have stood in a line that was left out.
pub(crate) fn cut_everywhere(node: &mut Node) {
    node.cut = true;
    match &mut node.kind {
        Kind::List(items) => items.iter_mut().for_each(cut_everywhere),
        Kind::Map(map) => map.entries.iter_mut().for_each(|entry| cut_everywhere(&mut entry.value)),
        Kind::Scalar(_) | Kind::Refused => {}
    }
}

/// Marks what ends at a syntax error as cut off: a wrong indentation closes mappings that were meant to go on, and a
/// forgotten bracket or quote makes several lines into one value.
fn cut_along_the_end(node: &mut Node, text: &str) {
    node.cut = true;
    let several_lines = text.get(node.span.range()).is_some_and(|value| value.contains('\n'));
    match &mut node.kind {
        Kind::Scalar(scalar) if scalar.plain && several_lines => node.kind = Kind::Refused,
        Kind::List(items) => items.last_mut().into_iter().for_each(|last| cut_along_the_end(last, text)),
        Kind::Map(map) => map.entries.last_mut().into_iter().for_each(|last| cut_along_the_end(&mut last.value, text)),
        Kind::Scalar(_) | Kind::Refused => {}
    }
}

/// The parser tells of a tab where the value before it began.
fn tab_at_or_after(text: &str, start: usize) -> usize {
    let line = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let mut at = line;
    for line in text[line..].split_inclusive('\n') {
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        if let Some(tab) = line[..indent].find('\t') {
            return at + tab;
        }
        at += line.len();
    }
    start
}

/// The `&anchor` or `!tag` just before a value.
fn property_before(text: &str, value: Span) -> Option<Span> {
    let before = text.get(..value.start)?.trim_end_matches([' ', '\t']);
    let start = before.rfind([' ', '\t', '\n', '[', '{', ',']).map_or(0, |at| at + 1);
    before[start..].starts_with(['&', '!']).then_some(Span { start, end: before.len(), ..value })
}

/// How many lines after the first are indented with tabs as well, in words.
fn lines_with_tabs(text: &str) -> Option<String> {
    let indent = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    match text.lines().skip(1).filter(|line| line[..indent(line)].contains('\t')).count() {
        0 => None,
        1 => Some(" here, and in one line below".to_owned()),
        more => Some(format!(" here, and in {more} lines below")),
    }
}

/// The name that a node is as a key.
fn as_key(node: Node, errors: &mut Diagnostics) -> Option<Key> {
    match node.kind {
        Kind::Scalar(scalar) if !scalar.raw.is_empty() => Some(Key { span: node.span, name: scalar.raw }),
        Kind::Refused => None,
        _ => {
            errors.add(node.span, "a key has to be a plain word", Some("a line reads `key: value`".into()));
            None
        }
    }
}

/// An empty value has no place of its own: its key stands for it.
fn at_least_the_key(mut node: Node, key: &Key) -> Node {
    if node.span.start >= node.span.end {
        node.span = key.span;
    }
    node
}
