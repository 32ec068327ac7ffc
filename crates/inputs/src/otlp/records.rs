use super::wire::{Fields, Malformed};

/// What a request is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    Logs,
    Metrics,
    Traces,
}

/// A record of a request, and whom it is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    pub resource: &'a [u8],
    pub scope: &'a [u8],
    /// The metric that a point is of.
    pub metric: Metric<'a>,
    pub bytes: &'a [u8],
}

/// What the points of a metric share.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Metric<'a> {
    pub name: &'a [u8],
    pub unit: &'a [u8],
    pub data: Data,
    pub monotonic: bool,
    pub cumulative: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum Data {
    /// Of a kind that is not known.
    #[default]
    Unknown,
    Gauge,
    Sum,
    Histogram,
    ExponentialHistogram,
    Summary,
}

/// Walks over the records of a request: log records, spans, or points of metrics. The three kinds of requests
/// are built alike: resources (field 1) with their scopes (2), and these with their records (2).
#[derive(Clone)]
pub struct Records<'a> {
    signal: Signal,
    requests: Fields<'a>,
    scopes: Fields<'a>,
    records: Fields<'a>,
    points: Fields<'a>,
    resource: &'a [u8],
    scope: &'a [u8],
    metric: Metric<'a>,
}

impl<'a> Records<'a> {
    pub fn new(signal: Signal, body: &'a [u8]) -> Records<'a> {
        let none = Fields(b"");
        Records {
            signal,
            requests: Fields(body),
            scopes: none,
            records: none,
            points: none,
            resource: b"",
            scope: b"",
            metric: Metric::default(),
        }
    }

    /// The next record.
    ///
    /// # Errors
    /// What is not a request.
    pub fn read(&mut self) -> Result<Option<Record<'a>>, Malformed> {
        loop {
            if let Some(bytes) = next_of(&mut self.points, 1)? {
                return Ok(Some(self.record(bytes)));
            }
            if let Some(bytes) = next_of(&mut self.records, 2)? {
                if self.signal != Signal::Metrics {
                    return Ok(Some(self.record(bytes)));
                }
                (self.metric, self.points) = metric(bytes)?;
            } else if let Some(bytes) = next_of(&mut self.scopes, 2)? {
                self.scope = first(bytes)?;
                self.records = Fields(bytes);
            } else if let Some(bytes) = next_of(&mut self.requests, 1)? {
                self.resource = first(bytes)?;
                self.scopes = Fields(bytes);
            } else {
                return Ok(None);
            }
        }
    }

    fn record(&self, bytes: &'a [u8]) -> Record<'a> {
        Record { resource: self.resource, scope: self.scope, metric: self.metric, bytes }
    }
}

/// The next field of this number, others being passed over.
fn next_of<'a>(fields: &mut Fields<'a>, wanted: u64) -> Result<Option<&'a [u8]>, Malformed> {
    while let Some((number, value)) = fields.field()? {
        if number == wanted {
            return value.chunk().map(Some);
        }
    }
    Ok(None)
}

/// Field 1, which may stand behind others: resource or scope.
fn first(bytes: &[u8]) -> Result<&[u8], Malformed> {
    next_of(&mut Fields(bytes), 1).map(Option::unwrap_or_default)
}

/// A metric and its points.
fn metric(bytes: &[u8]) -> Result<(Metric<'_>, Fields<'_>), Malformed> {
    let (mut metric, mut data) = (Metric::default(), &b""[..]);
    Fields(bytes).each(|number, value| {
        let kind = match number {
            1 => return value.chunk().map(|name| metric.name = name),
            3 => return value.chunk().map(|unit| metric.unit = unit),
            5 => Data::Gauge,
            7 => Data::Sum,
            9 => Data::Histogram,
            10 => Data::ExponentialHistogram,
            11 => Data::Summary,
            _ => return Ok(()),
        };
        metric.data = kind;
        data = value.chunk()?;
        Ok(())
    })?;
    Fields(data).each(|number, value| {
        match number {
            2 => metric.cumulative = value.number()? == 2,
            3 => metric.monotonic = value.number()? != 0,
            _ => {}
        }
        Ok(())
    })?;
    Ok((metric, Fields(data)))
}
