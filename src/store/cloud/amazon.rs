//! What is known about S3 before anything is asked: region, endpoints and the source of credentials,
//! from the location, from variables and from profiles, in this order.

use crate::store::cloud::credentials::chain;
use crate::store::cloud::credentials::chain::is_true;
use crate::store::cloud::credentials::error::CredentialError;
use crate::store::cloud::credentials::profiles::Profiles;
use crate::store::cloud::credentials::profiles::Section;
use crate::store::cloud::credentials::profiles::SectionKind;
use crate::store::cloud::credentials::requests::Sts;
use crate::store::cloud::credentials::source::Source;
use crate::store::cloud::location::CloudLocation;
use crate::store::cloud::settings::CloudSettings;

/// Settings of S3.
pub(crate) struct AmazonSettings {
    pub(crate) region: String,
    /// Where the store is, unless it is Amazon's own.
    pub(crate) endpoint: Option<String>,
    pub(crate) sts: Sts,
    pub(crate) sso_endpoint: Option<String>,
    /// `None` where requests are not signed.
    pub(crate) source: Option<Source>,
    /// Whether whoever answers for STS knows these credentials.
    pub(crate) has_sts: bool,
}

impl AmazonSettings {
    /// Finds all settings out.
    ///
    /// Errors: files that are broken, profiles that are missing or make no sense.
    pub(crate) fn find(
        location: &CloudLocation,
        settings: &CloudSettings,
    ) -> Result<Self, CredentialError> {
        let profiles = Profiles::load(settings)?;
        let named = chain::named_profile(location.setting("profile"), settings);
        let is_unsigned = settings.variable("AWS_SKIP_SIGNATURE").is_some_and(is_true);
        let source =
            if is_unsigned { None } else { Some(chain::choose(&named, settings, &profiles)?) };
        let profile = profiles.profile(named.name());
        let endpoints = Endpoints { settings, profiles: &profiles, profile };
        let variables = ["AWS_REGION", "AWS_DEFAULT_REGION"];
        let region = location
            .setting("region")
            .or_else(|| variables.iter().find_map(|name| settings.variable(name)))
            .or_else(|| profile.and_then(|profile| profile.value("region")))
            .unwrap_or(REGION_DEFAULT)
            .to_owned();
        let endpoint = location.setting("endpoint").map(str::to_owned);
        let endpoint = endpoint.or_else(|| endpoints.of("S3", "s3"));
        let sts_endpoint = endpoints.of("STS", "sts");
        let has_sts = endpoint.is_none() || sts_endpoint.is_some();
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let endpoint_of_region = || format!("https://sts.{region}.{domain}");
        let sts = Sts {
            endpoint: sts_endpoint.unwrap_or_else(endpoint_of_region),
            region: region.clone(),
        };
        let sso_endpoint = endpoints.of("SSO", "sso");
        Ok(Self { region, endpoint, sts, sso_endpoint, source, has_sts })
    }
}

struct Endpoints<'a> {
    settings: &'a CloudSettings,
    profiles: &'a Profiles,
    profile: Option<&'a Section>,
}

impl Endpoints<'_> {
    /// Where a service is said to be: its own variable, the one of all services, then the profile.
    fn of(&self, variable: &str, service: &str) -> Option<String> {
        let own = format!("AWS_ENDPOINT_URL_{variable}");
        let variables = [own.as_str(), "AWS_ENDPOINT_URL", "AWS_ENDPOINT"];
        let of_variables = variables.iter().find_map(|name| self.settings.variable(name));
        if let Some(endpoint) = of_variables {
            return Some(endpoint.to_owned());
        }
        let profile = self.profile?;
        let ignored = self.settings.variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
        if ignored.or_else(|| profile.value("ignore_configured_endpoint_urls")).is_some_and(is_true)
        {
            return None;
        }
        let services = profile.value("services");
        let services = services.and_then(|name| self.profiles.section(SectionKind::Services, name));
        let of_service =
            services.and_then(|section| section.value(&format!("{service}.endpoint_url")));
        of_service.or_else(|| profile.value("endpoint_url")).map(str::to_owned)
    }
}

const REGION_DEFAULT: &str = "us-east-1";
