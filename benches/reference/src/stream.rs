//! Throughput: a stream of messages, counted up to its end mark.

use crate::socket::{Context, Socket};
use crate::{read_line, write_line, Failure, Job, LAST_TOPIC};
use serde_json::json;
use std::thread;
use std::time::Instant;

/// The topics of messages and subscriptions.
enum Topics {
    /// No topics: each subscriber receives all messages.
    None,
    /// All messages have this topic.
    One(&'static str),
    /// The messages have these topics in turn.
    Many(Vec<String>),
}

/// The parameters of a run.
struct Shape {
    topics: Topics,
    /// Every n-th topic is subscribed to.
    every: usize,
    /// The second frame of stamped messages.
    stamp: Option<Vec<u8>>,
    message: Vec<u8>,
    end: Vec<u8>,
}

impl Shape {
    fn of(job: &Job) -> Result<Self, Failure> {
        let (message, end) = job.messages()?;
        let mut every = 1;
        let topics = match job.text("kind")? {
            "topic" => Topics::One("room1"),
            "filtered" => {
                every = job.number("every")?;
                let published = job.number("topics")? * every;
                Topics::Many(
                    (0..published)
                        .map(|number| format!("t{number:06}"))
                        .collect(),
                )
            }
            _ => Topics::None,
        };
        let stamp = match job.text("kind")? {
            "stamped" => Some(vec![b's'; job.number("stamp")?]),
            _ => None,
        };
        Ok(Self {
            topics,
            every,
            stamp,
            message,
            end,
        })
    }

    fn prefixes(&self) -> Vec<String> {
        match &self.topics {
            Topics::None => vec![String::new()],
            Topics::One(topic) => vec![format!("{topic}:")],
            Topics::Many(topics) => topics
                .iter()
                .step_by(self.every)
                .map(String::as_str)
                .chain([LAST_TOPIC])
                .map(|topic| format!("{topic}:"))
                .collect(),
        }
    }

    /// The frames of the first message and of the end mark.
    fn first_and_last(&self) -> (Vec<u8>, Vec<u8>) {
        let (first, last) = match &self.topics {
            Topics::None => return (self.message.clone(), self.end.clone()),
            Topics::One(topic) => (*topic, *topic),
            Topics::Many(topics) => (topics[0].as_str(), LAST_TOPIC),
        };
        (
            with_topic(first, &self.message),
            with_topic(last, &self.end),
        )
    }

    /// Sends `count` messages and the end mark.
    fn send_all(&self, socket: &Socket, count: usize) -> Result<(), Failure> {
        let mut buffer = Vec::new();
        match &self.topics {
            Topics::None => {
                if let Some(stamp) = &self.stamp {
                    for _ in 0..count {
                        socket.send_more(&self.message)?;
                        socket.send(stamp)?;
                    }
                    socket.send_more(&self.end)?;
                    return socket.send(stamp);
                }
                for _ in 0..count {
                    socket.send(&self.message)?;
                }
            }
            Topics::One(topic) => {
                for _ in 0..count {
                    write_with_topic(&mut buffer, topic, &self.message);
                    socket.send(&buffer)?;
                }
            }
            Topics::Many(topics) => {
                for topic in topics.iter().cycle().take(count) {
                    write_with_topic(&mut buffer, topic, &self.message);
                    socket.send(&buffer)?;
                }
            }
        }
        socket.send(&self.first_and_last().1)
    }

    /// Counts messages up to the end mark.
    fn receive_all(&self, socket: Socket) -> Result<Received, Failure> {
        let (message, end) = self.first_and_last();
        let mut buffer = vec![0_u8; message.len().max(end.len()) + 64];
        let mut stamp = [0_u8; 512];
        let intact = socket.receive(&mut buffer)? == message;
        let began = Instant::now();
        let mut count = 1_usize;
        if self.stamp.is_some() {
            socket.receive(&mut stamp)?;
            while socket.receive(&mut buffer)? != end {
                socket.receive(&mut stamp)?;
                count += 1;
            }
            socket.receive(&mut stamp)?;
        } else {
            while socket.receive(&mut buffer)? != end {
                count += 1;
            }
        }
        Ok(Received {
            count,
            intact,
            began,
            ended: Instant::now(),
            _open: socket,
        })
    }
}

struct Received {
    count: usize,
    intact: bool,
    began: Instant,
    ended: Instant,
    /// Stays open until all subscribers have finished.
    _open: Socket,
}

fn write_with_topic(buffer: &mut Vec<u8>, topic: &str, message: &[u8]) {
    buffer.clear();
    buffer.extend_from_slice(topic.as_bytes());
    buffer.push(b':');
    buffer.extend_from_slice(message);
}

fn with_topic(topic: &str, message: &[u8]) -> Vec<u8> {
    let mut buffer = Vec::new();
    write_with_topic(&mut buffer, topic, message);
    buffer
}

/// Sends `count` messages and the end mark once all subscribers have subscribed.
pub fn publish(job: &Job) -> Result<(), Failure> {
    let shape = Shape::of(job)?;
    let count = job.number("count")?;
    let expected = shape.prefixes().len() * job.number_or("subscribers", 1)?;
    let socket = Context::new()?.publisher(job.text("endpoint")?)?;
    write_line(&json!({ "endpoint": socket.endpoint()? }))?;
    read_line()?;
    socket.wait_for_subscriptions(expected)?;
    let began = Instant::now();
    shape.send_all(&socket, count)?;
    write_line(&json!({ "seconds": began.elapsed().as_secs_f64() }))?;
    read_line()?;
    Ok(())
}

/// Counts messages up to the end mark, with a thread for each subscriber.
pub fn subscribe(job: &Job) -> Result<(), Failure> {
    let shape = Shape::of(job)?;
    let context = Context::new()?;
    let endpoint = job.text("endpoint")?;
    let sockets = (0..job.number_or("subscribers", 1)?)
        .map(|_| context.subscriber(endpoint, shape.prefixes()))
        .collect::<Result<Vec<_>, _>>()?;
    write_line(&json!({ "ready": true }))?;
    read_line()?;
    let received = thread::scope(|scope| {
        let threads: Vec<_> = sockets
            .into_iter()
            .map(|socket| scope.spawn(|| shape.receive_all(socket)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "a thread panicked")?)
            .collect::<Result<Vec<_>, Failure>>()
    })?;
    let began = received.iter().map(|one| one.began).min();
    let ended = received.iter().map(|one| one.ended).max();
    let (Some(began), Some(ended)) = (began, ended) else {
        return Err("invalid subscribers 0: expected 1 or more".into());
    };
    write_line(&json!({
        "counts": received.iter().map(|one| one.count).collect::<Vec<_>>(),
        "seconds": (ended - began).as_secs_f64(),
        "intact": received.iter().all(|one| one.intact),
    }))?;
    read_line()?;
    Ok(())
}

/// A publisher and a subscriber in two threads of this process; measures from the first send.
pub fn publish_and_subscribe(job: &Job) -> Result<(), Failure> {
    let shape = Shape::of(job)?;
    let count = job.number("count")?;
    let context = Context::new()?;
    let publisher = context.publisher(job.text("endpoint")?)?;
    let subscriber = context.subscriber(&publisher.endpoint()?, shape.prefixes())?;
    publisher.wait_for_subscriptions(shape.prefixes().len())?;
    write_line(&json!({ "ready": true }))?;
    read_line()?;
    let (began, received) = thread::scope(|scope| {
        let reader = scope.spawn(|| shape.receive_all(subscriber));
        let began = Instant::now();
        shape.send_all(&publisher, count)?;
        let received = reader.join().map_err(|_| "a thread panicked")??;
        Ok::<_, Failure>((began, received))
    })?;
    write_line(&json!({
        "counts": [received.count],
        "seconds": (received.ended - began).as_secs_f64(),
        "intact": received.intact,
    }))?;
    read_line()?;
    Ok(())
}
