package doctor

import (
	"crypto/x509"
	"slices"
	"strings"
	"time"
)

// Certificate judges one by its dates. due says by when a certificate that renews itself should have; for one that does not it is how early people want
// to know.
func Certificate(check string, c *x509.Certificate, now time.Time, due time.Duration, remedy string) Finding {
	left := c.NotAfter.Sub(now)
	until := c.NotAfter.UTC().Format(time.DateOnly)
	switch {
	case now.Before(c.NotBefore):
		return Found(check, Failed, "look at the clock", "it holds from %s on, which is later than now", c.NotBefore.UTC().Format(time.RFC3339))
	case left <= 0:
		return Found(check, Failed, remedy, "it expired on %s", until)
	case left < due:
		return Found(check, Warning, remedy, "it expires on %s, in %d days", until, int(left.Hours()/24))
	}
	return Good(check, "it holds until %s", until)
}

// Names looks whether a certificate is for the names by which people come.
func Names(c *x509.Certificate, hosts []string) Finding {
	var missing []string
	for _, host := range hosts {
		if c.VerifyHostname(host) != nil {
			missing = append(missing, host)
		}
	}
	if len(missing) > 0 {
		return Found("API names", Warning, "set /system:api_hosts to all names by which the node is reached and start it again, or give it a certificate with them",
			"the certificate of the API is not for %s", strings.Join(missing, ", "))
	}
	named := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		named = append(named, ip.String())
	}
	return Good("API names", "its certificate is for %s", strings.Join(named, ", "))
}
