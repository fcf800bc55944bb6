//! The stress score, the factors that it is made of, and the tiers.

/// The eight stress contributions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Factor {
    Load,
    Memory,
    Thermal,
    Latency,
    Io,
    Gpu,
    Wakeups,
    Pageins,
}

impl Factor {
    /// All factors, in the order of every table.
    pub const ALL: [Self; 8] = [
        Self::Load,
        Self::Memory,
        Self::Thermal,
        Self::Latency,
        Self::Io,
        Self::Gpu,
        Self::Wakeups,
        Self::Pageins,
    ];

    /// The factor's name on the wire, in columns and in labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Memory => "memory",
            Self::Thermal => "thermal",
            Self::Latency => "latency",
            Self::Io => "io",
            Self::Gpu => "gpu",
            Self::Wakeups => "wakeups",
            Self::Pageins => "pageins",
        }
    }

    /// The most points the factor can give.
    #[must_use]
    pub fn max(self) -> u8 {
        match self {
            Self::Load | Self::Memory | Self::Pageins => 30,
            Self::Latency | Self::Gpu => 20,
            Self::Thermal | Self::Io | Self::Wakeups => 10,
        }
    }
}

/// The stress score and its factors, in points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stress {
    points: [u8; 8],
}

impl Stress {
    /// Takes the points of each factor, in the order of [`Factor::ALL`].
    #[must_use]
    pub fn new(points: [u8; 8]) -> Self {
        Self { points }
    }

    /// The points of one factor, 0 to its [`Factor::max`].
    #[must_use]
    pub fn get(&self, factor: Factor) -> u8 {
        self.points[factor as usize]
    }

    /// The points of all factors, in the order of [`Factor::ALL`].
    #[must_use]
    pub fn points(&self) -> [u8; 8] {
        self.points
    }

    /// The stress score: the sum, at most 100.
    #[must_use]
    pub fn total(&self) -> u8 {
        self.sum().min(100) as u8
    }

    /// The sum of all factors' points, not capped: 0–160.
    #[must_use]
    pub fn sum(&self) -> u16 {
        self.points.iter().map(|&points| u16::from(points)).sum()
    }
}

/// How stressed the machine is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Below `tiers.elevated`.
    #[default]
    Sentinel,
    /// From `tiers.elevated`.
    Elevated,
    /// From `tiers.critical`.
    Critical,
}

impl Tier {
    /// All tiers, in rising order.
    pub const ALL: [Self; 3] = [Self::Sentinel, Self::Elevated, Self::Critical];

    /// The tier's name on the wire, in columns and in labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sentinel => "sentinel",
            Self::Elevated => "elevated",
            Self::Critical => "critical",
        }
    }

    /// The tier of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.as_str() == text)
    }
}

/// The time spent in each tier. A tier holds from its sample to the next; what a first sample covers is its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InTiers {
    /// By tier, ns.
    pub ns: [u64; 3],
    last: Option<Tier>,
}

impl InTiers {
    /// In `tier` from now on.
    #[must_use]
    pub fn from(tier: Tier) -> Self {
        Self { ns: [0; 3], last: Some(tier) }
    }

    /// A sample came, so long after the one before.
    pub fn sample(&mut self, tier: Tier, passed_ns: u64) {
        let ns = &mut self.ns[self.last.unwrap_or(tier) as usize];
        *ns = ns.saturating_add(passed_ns);
        self.last = Some(tier);
    }
}
