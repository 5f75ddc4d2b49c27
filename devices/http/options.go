package http

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"banyan/devices"
)

// options are the settings in Go's types.
type options struct {
	url           *url.URL
	method        string
	body          string
	headers       http.Header
	secretHeaders http.Header
	username      string
	password      string
	expected      []statusRange
	contains      string
	pattern       *regexp.Regexp // nil for none
	maxBody       int64
	maxRedirects  int
	http2         bool
	keepAlive     bool
	proxy         func(*http.Request) (*url.URL, error) // nil for none
	verification  devices.Verification
}

type statusRange struct{ from, to int }

var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

func parse(s devices.Settings) (options, error) {
	o := options{
		method: s["method"].Text(), body: s["body"].Text(), username: s["username"].Text(), password: s["password"].Text(),
		contains: s["body_contains"].Text(), maxBody: s["max_body"].Int64(), http2: s["http2"].Bool(), keepAlive: s["keep_alive"].Bool(),
	}
	redirects := s["max_redirects"].Int64()
	switch {
	case !slices.Contains(methods, o.method):
		return o, devices.BadSetting("method", "%q is not a method: use one of %s", o.method, strings.Join(methods, ", "))
	case len(o.body) > maxText:
		return o, devices.BadSetting("body", "it has %d bytes, at most %d are allowed", len(o.body), maxText)
	case o.maxBody < 0 || o.maxBody > maxBody:
		return o, devices.BadSetting("max_body", "%d is outside of 0 to %d", o.maxBody, maxBody)
	case int64(len(o.contains)) > o.maxBody:
		return o, devices.BadSetting("body_contains", "it has %d bytes, and max_body is %d", len(o.contains), o.maxBody)
	case redirects < 0 || redirects > maxRedirects:
		return o, devices.BadSetting("max_redirects", "%d is outside of 0 to %d", redirects, maxRedirects)
	case o.username == "" && o.password != "":
		return o, devices.BadSetting("username", "it is missing, and password is set")
	}
	o.maxRedirects = int(redirects)
	for _, step := range []func(devices.Settings) error{o.parseURL, o.parseHeaders, o.parseExpected, o.parseProxy} {
		if err := step(s); err != nil {
			return o, err
		}
	}
	var err error
	o.verification, err = devices.NewVerification(s)
	return o, err
}

// parseURL never repeats what it refuses: there may be a password in it.
func (o *options) parseURL(s devices.Settings) error {
	text := s["url"].Text()
	u, err := url.Parse(text)
	switch {
	case text == "":
		return devices.BadSetting("url", "it is missing: give one, like https://www.example.org/")
	case err != nil || len(text) > maxURL || u.Opaque != "":
		return devices.BadSetting("url", "it is not a URL of at most %d bytes, like https://www.example.org/", maxURL)
	case u.Scheme != "http" && u.Scheme != "https":
		return devices.BadSetting("url", "it has to begin with http:// or https://")
	case u.User != nil:
		return devices.BadSetting("url", "a user name and a password belong into username and password, where they are kept as secrets")
	}
	u.Fragment = ""
	o.url = u
	_, err = devices.ParseEndpoint("url", endpointOf(u), 0)
	return err
}

// endpointOf is the host and port that a URL means.
func endpointOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	if host := u.Hostname(); strings.Contains(host, ":") {
		return "[" + host + "]:" + port
	}
	return u.Hostname() + ":" + port
}

func (o *options) parseHeaders(s devices.Settings) error {
	var err error
	if o.headers, err = readHeaders("headers", s["headers"].Text()); err != nil {
		return err
	}
	for _, name := range []string{"Authorization", "Proxy-Authorization", "Cookie"} {
		if o.headers.Get(name) != "" {
			return devices.BadSetting("headers", "%s belongs into secret_headers, which nobody can read", name)
		}
	}
	o.secretHeaders, err = readHeaders("secret_headers", s["secret_headers"].Text())
	if err == nil && o.username != "" && o.secretHeaders.Get("Authorization") != "" {
		err = devices.BadSetting("username", "there is an Authorization in secret_headers already")
	}
	return err
}

// readHeaders reads lines "Name: value". What it refuses is named by the number of its line: it may be a secret.
func readHeaders(setting, text string) (http.Header, error) {
	if len(text) > maxText {
		return nil, devices.BadSetting(setting, "it has more than %d bytes", maxText)
	}
	headers := http.Header{}
	number := 0
	for line := range strings.Lines(text) {
		number++
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, value, found := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if !found || name == "" || strings.ContainsFunc(name, notInName) || strings.ContainsFunc(value, isControl) {
			return nil, devices.BadSetting(setting, "line %d is not \"Name: value\"", number)
		}
		switch name = http.CanonicalHeaderKey(name); name {
		case "Content-Length", "Transfer-Encoding", "Connection", "Trailer", "Upgrade", "Te":
			return nil, devices.BadSetting(setting, "line %d: %s is set by the node itself", number, name)
		}
		headers.Add(name, value)
	}
	return headers, nil
}

// notInName are the characters that RFC 9110, 5.6.2, leaves out of a token.
func notInName(r rune) bool {
	return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", r)
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

func (o *options) parseExpected(s devices.Settings) error {
	for part := range strings.SplitSeq(s["expected_status"].Text(), ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			high = low
		}
		from, err := strconv.Atoi(low)
		to, err2 := strconv.Atoi(high)
		if err != nil || err2 != nil || from < 100 || to > 599 || from > to || len(o.expected) == 100 {
			return devices.BadSetting("expected_status", "%q is no list of statuses from 100 to 599, like 200,204,300-399", s["expected_status"].Text())
		}
		o.expected = append(o.expected, statusRange{from, to})
	}
	text := s["body_pattern"].Text()
	if text == "" {
		return nil
	}
	if len(text) > maxText {
		return devices.BadSetting("body_pattern", "it has more than %d bytes", maxText)
	}
	var err error
	if o.pattern, err = regexp.Compile(text); err != nil {
		return devices.BadSetting("body_pattern", "it is not a regular expression of RE2: %v", err)
	}
	return nil
}

func (o *options) parseProxy(s devices.Settings) error {
	text := s["proxy"].Text()
	switch text {
	case "":
		return nil
	case "environment":
		o.proxy = http.ProxyFromEnvironment
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.Path != "" && u.Path != "/":
		return devices.BadSetting("proxy", "it is no proxy, like http://proxy.example.org:3128, and not the word environment")
	case u.Scheme != "http" && u.Scheme != "socks5":
		return devices.BadSetting("proxy", "it has to begin with http:// or socks5://; what goes through it to an https URL is encrypted all the same")
	case u.User != nil:
		return devices.BadSetting("proxy", "a user name and a password belong into proxy_username and proxy_password, where they are kept as secrets")
	}
	if name := s["proxy_username"].Text(); name != "" {
		u.User = url.UserPassword(name, s["proxy_password"].Text())
	}
	o.proxy = http.ProxyURL(u)
	return nil
}

// isExpected reports whether a status is right.
func (o *options) isExpected(status int) bool {
	return slices.ContainsFunc(o.expected, func(r statusRange) bool { return status >= r.from && status <= r.to })
}

// judges reports whether the body matters.
func (o *options) judges() bool { return o.contains != "" || o.pattern != nil }
