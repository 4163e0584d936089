//! The hooks of one broker, as its builder got them.

use std::sync::Arc;

use whinchat_topic::{TopicFilter, TopicFilterBuf, TopicName};

use super::{
    Access, Action, Authenticate, Authorize, Client, ConnectEvent, Decision, DeliverVerdict,
    DisconnectEvent, Identity, Intercept, MessageEvent, PublishVerdict, SubscribeEvent, guard,
};
use crate::metrics::SharedMetrics;

/// What a broker asks and tells; nothing installed costs nothing.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    pub(crate) authenticate: Option<Arc<dyn Authenticate>>,
    authorize: Option<Arc<dyn Authorize>>,
    intercept: Option<Interceptor>,
}

#[derive(Clone)]
struct Interceptor {
    hook: Arc<dyn Intercept>,
    connects: bool,
    disconnects: bool,
    subscribes: bool,
    publishes: Arc<[TopicFilterBuf]>,
    deliveries: Arc<[TopicFilterBuf]>,
}

impl Hooks {
    pub(crate) fn set_authorize(&mut self, hook: Arc<dyn Authorize>) {
        self.authorize = Some(hook);
    }

    /// `Err` with the text that is no topic filter.
    pub(crate) fn set_intercept(&mut self, hook: Arc<dyn Intercept>) -> Result<(), String> {
        let interest = hook.interest();
        let filters = |texts: Vec<String>| {
            texts
                .into_iter()
                .map(|text| TopicFilterBuf::new(text.clone()).map_err(|_| text))
                .collect::<Result<Arc<[_]>, _>>()
        };
        self.intercept = Some(Interceptor {
            hook,
            connects: interest.connects,
            disconnects: interest.disconnects,
            subscribes: interest.subscribes,
            publishes: filters(interest.publishes)?,
            deliveries: filters(interest.deliveries)?,
        });
        Ok(())
    }

    /// True if there is somebody to ask who a client is.
    pub(crate) fn has_authenticator(&self) -> bool {
        self.authenticate.is_some()
    }

    /// True if there is somebody to ask what a client may do.
    pub(crate) fn has_authorizer(&self) -> bool {
        self.authorize.is_some()
    }

    /// True if deliveries have to be looked at one by one.
    pub(crate) fn watches_deliveries(&self) -> bool {
        self.intercept
            .as_ref()
            .is_some_and(|hook| !hook.deliveries.is_empty())
    }

    /// Whether the client may do this; everything, if there is no authorizer.
    pub(crate) fn decide(
        &self,
        identity: &Identity,
        client_id: &str,
        action: Action<'_>,
        topic: &str,
        metrics: &SharedMetrics,
    ) -> Decision {
        match &self.authorize {
            None => Decision::Allow,
            Some(hook) => guard::authorize(
                &**hook,
                &Access::new(identity, client_id, action, topic),
                metrics,
            ),
        }
    }

    pub(crate) fn on_connect(
        &self,
        client: &Client<'_>,
        event: &ConnectEvent,
        metrics: &SharedMetrics,
    ) {
        if let Some(hook) = self.intercept.as_ref().filter(|hook| hook.connects) {
            guard::intercepted(metrics, || hook.hook.on_connect(client, event));
        }
    }

    pub(crate) fn on_disconnect(
        &self,
        client: &Client<'_>,
        event: &DisconnectEvent,
        metrics: &SharedMetrics,
    ) {
        if let Some(hook) = self.intercept.as_ref().filter(|hook| hook.disconnects) {
            guard::intercepted(metrics, || hook.hook.on_disconnect(client, event));
        }
    }

    pub(crate) fn on_subscribe(
        &self,
        client: &Client<'_>,
        event: &SubscribeEvent<'_>,
        metrics: &SharedMetrics,
    ) {
        if let Some(hook) = self.intercept.as_ref().filter(|hook| hook.subscribes) {
            guard::intercepted(metrics, || hook.hook.on_subscribe(client, event));
        }
    }

    pub(crate) fn on_publish(
        &self,
        client: &Client<'_>,
        event: &MessageEvent<'_>,
        metrics: &SharedMetrics,
    ) -> PublishVerdict {
        match self
            .intercept
            .as_ref()
            .filter(|hook| matches_any(&hook.publishes, event.topic))
        {
            None => PublishVerdict::Pass,
            Some(hook) => guard::on_publish(&*hook.hook, client, event, metrics),
        }
    }

    pub(crate) fn on_deliver(
        &self,
        client: &Client<'_>,
        event: &MessageEvent<'_>,
        metrics: &SharedMetrics,
    ) -> DeliverVerdict {
        match self
            .intercept
            .as_ref()
            .filter(|hook| matches_any(&hook.deliveries, event.topic))
        {
            None => DeliverVerdict::Pass,
            Some(hook) => guard::on_deliver(&*hook.hook, client, event, metrics),
        }
    }
}

fn matches_any(filters: &[TopicFilterBuf], topic: &str) -> bool {
    filters
        .iter()
        .any(|filter| TopicFilter::matches(filter, TopicName::from_validated(topic)))
}
