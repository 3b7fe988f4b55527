// Another foreign LwM2M client: lwm2m-node-lib, which reads and observes single resources only. Argument: the server's port.
// Lines: `temperature 22.5` measures. Says what happens to it.
'use strict';
const { client } = require('lwm2m-node-lib');
const { registry } = client;

client.init({
    client: {
        lifetime: '300', version: '1.0', logLevel: 'FATAL', observe: { period: 3000 }, ipProtocol: 'udp4', serverProtocol: 'udp4',
        formats: [], writeFormat: 'text/plain', defaultAcceptFormat: 'text/plain',
    },
});
const values = [['/3303/0', '5700', '21.5'], ['/3306/0', '5850', '0']];
function create(left, done) {
    if (left.length === 0) { return done(); }
    const [uri, id, value] = left[0];
    registry.create(uri, () => registry.setResource(uri, id, value, () => create(left.slice(1), done)));
}
create(values, () => client.register('127.0.0.1', Number(process.argv[2]), '', 'node-lib-test', (error, info) => {
    if (error) { console.log('failed', error.message); return; }
    client.setHandler(info.serverInfo, 'read', (type, instance, resource, value, callback) => callback(null, value));
    client.setHandler(info.serverInfo, 'write', (type, instance, resource, value, callback) => {
        console.log('written', `/${type}/${instance}/${resource}`, String(value));
        registry.setResource(`/${type}/${instance}`, resource, String(value), failure => callback(failure));
    });
    console.log('registered');
}));
require('readline').createInterface({ input: process.stdin }).on('line', line => {
    const [, value] = line.split(' ');
    registry.setResource('/3303/0', '5700', value, () => console.log('measured', value));
});
