//! Owns as much of AMQP 0-9-1 as it takes to see, in a stream of bytes, where messages and their acknowledgements pass.

use std::collections::BTreeMap;

/// What passes between a client and its broker that faults are put around.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    /// The client publishes.
    Publish,
    /// The broker confirms what was published.
    Confirm,
    /// The broker delivers.
    Deliver,
    /// The client acknowledges what was delivered.
    Ack,
}

/// Where exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Edge {
    Before,
    /// Between a method and the content that belongs to it.
    Within,
    After,
}

pub type Mark = (Seen, Edge);

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    Client,
    Broker,
}

/// One frame, whole, and what begins and ends with it.
pub struct Frame {
    pub bytes: Vec<u8>,
    pub before: Option<Mark>,
    pub after: Option<Mark>,
}

/// Cuts one direction of a connection into frames.
pub struct Frames {
    sender: Sender,
    buffer: Vec<u8>,
    /// A client begins with eight bytes that are no frame.
    greeted: bool,
    /// By channel: the content that is on its way, and how many bytes of its body are still to come.
    contents: BTreeMap<u16, (Seen, u64)>,
    /// Of the latest delivery.
    consumer: Option<(u16, Vec<u8>)>,
}

const GREETING_BYTES: usize = 8;
const HEADER_BYTES: usize = 7;
const METHOD: u8 = 1;
const CONTENT_HEADER: u8 = 2;
const CONTENT_BODY: u8 = 3;
const FRAME_END: u8 = 0xce;
const BASIC: u16 = 60;
const BASIC_CANCEL: u16 = 30;

impl Frames {
    pub fn of(sender: Sender) -> Self {
        let greeted = sender == Sender::Broker;
        Self { sender, buffer: vec![], greeted, contents: BTreeMap::new(), consumer: None }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, where there is one.
    pub fn next(&mut self) -> Option<Frame> {
        if !self.greeted {
            let bytes = self.take(GREETING_BYTES)?;
            self.greeted = true;
            return Some(Frame { bytes, before: None, after: None });
        }
        let size = u32::from_be_bytes(self.buffer.get(3..HEADER_BYTES)?.try_into().ok()?);
        let bytes = self.take(HEADER_BYTES + size as usize + 1)?;
        assert_eq!(bytes.last(), Some(&FRAME_END), "the proxy lost its place in the stream");
        let (before, after) = self.marks(&bytes);
        Some(Frame { bytes, before, after })
    }

    fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        (self.buffer.len() >= count).then(|| self.buffer.drain(..count).collect())
    }

    fn marks(&mut self, frame: &[u8]) -> (Option<Mark>, Option<Mark>) {
        let channel = number(frame, 1);
        let payload = &frame[HEADER_BYTES..];
        match frame[0] {
            METHOD => {
                let Some(seen) = self.method(payload) else { return (None, None) };
                if matches!(seen, Seen::Confirm | Seen::Ack) {
                    return (Some((seen, Edge::Before)), Some((seen, Edge::After)));
                }
                if seen == Seen::Deliver {
                    let tag_bytes = usize::from(payload[4]);
                    self.consumer = Some((channel, payload[5..5 + tag_bytes].to_vec()));
                }
                self.contents.insert(channel, (seen, 0));
                (Some((seen, Edge::Before)), Some((seen, Edge::Within)))
            }
            CONTENT_HEADER => {
                let size = u64::from_be_bytes(payload[4..12].try_into().expect("eight bytes"));
                (None, self.content(channel, |_| size))
            }
            CONTENT_BODY => {
                let size = (payload.len() - 1) as u64;
                (None, self.content(channel, |left| left.saturating_sub(size)))
            }
            _ => (None, None),
        }
    }

    fn method(&self, payload: &[u8]) -> Option<Seen> {
        let (class, method) = (number(payload, 0), number(payload, 2));
        match (self.sender, class, method) {
            (Sender::Client, BASIC, 40) => Some(Seen::Publish),
            (Sender::Client, BASIC, 80) => Some(Seen::Ack),
            (Sender::Broker, BASIC, 60) => Some(Seen::Deliver),
            (Sender::Broker, BASIC, 80) => Some(Seen::Confirm),
            _ => None,
        }
    }

    fn content(&mut self, channel: u16, left: impl FnOnce(u64) -> u64) -> Option<Mark> {
        let (seen, still) = self.contents.get_mut(&channel)?;
        *still = left(*still);
        let (seen, done) = (*seen, *still == 0);
        if done {
            self.contents.remove(&channel);
        }
        done.then_some((seen, Edge::After))
    }

    /// What a broker would send to cancel the consumer of the latest delivery.
    pub fn cancellation(&self) -> Option<Vec<u8>> {
        let (channel, tag) = self.consumer.as_ref()?;
        let mut payload = [BASIC.to_be_bytes(), BASIC_CANCEL.to_be_bytes()].concat();
        payload.push(tag.len() as u8);
        payload.extend(tag);
        // No answer is asked for.
        payload.push(1);
        let mut frame = vec![METHOD];
        frame.extend(channel.to_be_bytes());
        frame.extend((payload.len() as u32).to_be_bytes());
        frame.extend(payload);
        frame.push(FRAME_END);
        Some(frame)
    }
}

fn number(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![kind];
        frame.extend(channel.to_be_bytes());
        frame.extend((payload.len() as u32).to_be_bytes());
        frame.extend(payload);
        frame.push(FRAME_END);
        frame
    }

    #[test]
    fn a_publish_is_seen_from_its_method_to_the_end_of_its_body_in_whatever_pieces_it_comes() {
        let mut stream = b"AMQP\x00\x00\x09\x01".to_vec();
        stream.extend(frame(METHOD, 3, &[0, 60, 0, 40, 0, 0]));
        let mut header = vec![0, 60, 0, 0];
        header.extend(5_u64.to_be_bytes());
        stream.extend(frame(CONTENT_HEADER, 3, &header));
        // Something of another channel comes in between.
        stream.extend(frame(METHOD, 4, &[0, 60, 0, 80, 1]));
        stream.extend(frame(CONTENT_BODY, 3, b"abc"));
        stream.extend(frame(CONTENT_BODY, 3, b"de"));
        let mut frames = Frames::of(Sender::Client);
        let (mut marks, mut passed) = (vec![], vec![]);
        for byte in &stream {
            frames.push(&[*byte]);
            while let Some(frame) = frames.next() {
                marks.extend([frame.before, frame.after].into_iter().flatten());
                passed.extend(frame.bytes);
            }
        }
        assert_eq!(passed, stream);
        let expected = [
            (Seen::Publish, Edge::Before),
            (Seen::Publish, Edge::Within),
            (Seen::Ack, Edge::Before),
            (Seen::Ack, Edge::After),
            (Seen::Publish, Edge::After),
        ];
        assert_eq!(marks, expected);
    }
}
