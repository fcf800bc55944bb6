//! Which panel is where, and which gives way first.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// The smallest screen: columns.
pub const MIN_COLUMNS: u16 = 60;
/// The smallest screen: rows.
pub const MIN_ROWS: u16 = 16;

/// From so many columns on panels stand side by side.
const WIDE: u16 = 100;
/// A heading and the eight factors.
const FACTORS: u16 = 9;
/// A heading and five processes.
const LISTS: u16 = 6;
/// The stress graph, its heading and the time axis included: at least; before other panels get room; at most while they
/// want more.
const GRAPH_MIN: u16 = 4;
const GRAPH_GOOD: u16 = 8;
const GRAPH_MAX: u16 = 16;

/// Where everything is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The title and the screens' names.
    pub header: Rect,
    /// What happened just now, where there is such a thing.
    pub banner: Option<Rect>,
    /// What is between these and the footer.
    pub body: Rect,
    /// Keys, or a notice.
    pub footer: Rect,
    /// The stress graph.
    pub graph: Rect,
    /// The eight factors.
    pub factors: Rect,
    /// The machine's figures.
    pub machine: Option<Rect>,
    /// The top processes.
    pub processes: Option<Rect>,
    /// Who is to blame.
    pub culprits: Option<Rect>,
    /// The last events.
    pub events: Option<Rect>,
}

/// Lays the screen out. Of the overview's panels stress and factors are always there; as rows get fewer the events give
/// way first, then the culprits, the processes and the machine.
#[must_use]
pub fn places(area: Rect, banner: bool) -> Places {
    let row = |y: u16, height: u16| Rect { y, height, ..area };
    let header = row(area.y, 1);
    let footer = row(area.bottom() - 1, 1);
    let above = 1 + u16::from(banner);
    let body = row(area.y + above, area.height - above - 1);
    let banner = banner.then(|| row(area.y + 1, 1));
    let mut places = Places { header, banner, body, footer, ..Places::default() };
    let wide = area.width >= WIDE;
    // Rows of the panels below the graph.
    let lists = body.height >= GRAPH_MIN + 2 + FACTORS + LISTS;
    let mut left = body.height - GRAPH_MIN - FACTORS - if lists { LISTS } else { 0 };
    let mut take = |wanted: u16, least: u16| {
        let taken = if left >= least { wanted.min(left) } else { 0 };
        left -= taken;
        taken
    };
    let mut graph = GRAPH_MIN + take(GRAPH_GOOD - GRAPH_MIN, 0);
    // Side by side the culprits stand beside the processes and cost nothing.
    let culprits = if wide || !lists { 0 } else { take(6, 4) };
    let events = if lists { take(6, 4) } else { 0 };
    graph += take(GRAPH_MAX - GRAPH_GOOD, 0);
    // What is left over goes to the last of them.
    let (graph, events) = if events > 0 { (graph, events + left) } else { (graph + left, 0) };
    let mut y = body.y;
    let mut next = |height: u16| {
        let place = row(y, height);
        y += height;
        place
    };
    places.graph = next(graph);
    let factors = next(FACTORS);
    let halves = |place: Rect, part: u16| {
        let first = place.width * part / 100;
        let left = Rect { width: first - 1, ..place };
        (left, Rect { x: place.x + first, width: place.width - first, ..place })
    };
    if wide {
        let (left, right) = halves(factors, 62);
        places.factors = left;
        places.machine = Some(right);
    } else {
        places.factors = factors;
    }
    if lists {
        let place = next(LISTS);
        let (left, right) = halves(place, 62);
        places.processes = Some(left);
        if wide {
            places.culprits = Some(right);
        } else {
            places.machine = Some(right);
        }
    }
    if culprits > 0 {
        places.culprits = Some(next(culprits));
    }
    if events > 0 {
        places.events = Some(next(events));
    }
    places
}

/// Says what it needs.
pub fn too_small(buf: &mut Buffer, area: Rect) {
    let lines = [
        "pause-monitor".to_owned(),
        format!("needs {MIN_COLUMNS} x {MIN_ROWS},"),
        format!("has {} x {}", area.width, area.height),
    ];
    for (y, line) in (area.y..area.bottom()).zip(lines) {
        buf.set_stringn(area.x, y, line, usize::from(area.width), Style::new());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_fill_every_size_and_never_overlap() {
        for (width, height, banner) in [60, 79, 80, 99, 100, 120, 160, 300].into_iter().flat_map(|width| {
            (16..=80).flat_map(move |height| [(width, height, false), (width, height, true)])
        }) {
            let places = places(Rect::new(0, 0, width, height), banner);
            let panels: Vec<Rect> = [
                Some(places.header),
                places.banner,
                Some(places.footer),
                Some(places.graph),
                Some(places.factors),
                places.machine,
                places.processes,
                places.culprits,
                places.events,
            ]
            .into_iter()
            .flatten()
            .collect();
            for (index, panel) in panels.iter().enumerate() {
                assert!(panel.right() <= width && panel.bottom() <= height, "{width}x{height}: {panel:?}");
                assert!(panel.height > 0 && panel.width > 0, "{width}x{height}: {panel:?}");
                for other in &panels[..index] {
                    assert!(!panel.intersects(*other), "{width}x{height}: {panel:?} and {other:?}");
                }
            }
            let lowest =
                panels.iter().filter(|panel| panel.bottom() < height).map(|panel| panel.bottom()).max();
            assert_eq!(lowest, Some(height - 1), "{width}x{height}: rows are left empty");
        }
    }

    #[test]
    fn panels_give_way_in_their_order() {
        let shown = |width, height| {
            let places = places(Rect::new(0, 0, width, height), false);
            (
                places.machine.is_some(),
                places.processes.is_some(),
                places.culprits.is_some(),
                places.events.is_some(),
            )
        };
        assert_eq!(shown(60, 16), (false, false, false, false));
        assert_eq!(shown(80, 24), (true, true, false, false));
        assert_eq!(shown(80, 30), (true, true, true, false));
        assert_eq!(shown(80, 37), (true, true, true, true));
        assert_eq!(shown(100, 16), (true, false, false, false));
        assert_eq!(shown(100, 24), (true, true, true, false));
        assert_eq!(shown(160, 50), (true, true, true, true));
    }
}
