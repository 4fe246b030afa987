// A certified OpenID provider on the loopback. Its settings are one object of JSON in PROVIDER_SETTINGS:
// port, issuer, clients, accounts (claims by login), routes, rewrites (of paths), and whether ID tokens hold all claims.
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const settings = JSON.parse(process.env.PROVIDER_SETTINGS);

const provider = new Provider(settings.issuer, {
  clients: settings.clients,
  routes: settings.routes,
  conformIdTokenClaims: !settings.fullTokens,
  pkce: { required: () => true },
  scopes: ['openid', 'profile', 'email'],
  claims: {
    openid: ['sub'],
    profile: ['name', 'preferred_username', 'groups'],
    email: ['email', 'email_verified'],
  },
  features: { devInteractions: { enabled: true }, rpInitiatedLogout: { enabled: true } },
  findAccount: (ctx, login) => ({ accountId: login, claims: () => ({ sub: login, ...settings.accounts[login] }) }),
});

const answer = provider.callback();
createServer((request, response) => {
  request.url = settings.rewrites[request.url] ?? request.url;
  const end = response.end.bind(response);
  response.end = (body, ...rest) => {
    if (typeof body !== 'string' || response.headersSent) return end(body, ...rest);
    response.removeHeader('content-length');
    return end(body.replace(/@import url\([^)]*\);/g, ''), ...rest); // its pages want a font from outside
  };
  answer(request, response);
}).listen(settings.port, '127.0.0.1');
