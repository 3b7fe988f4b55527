// A foreign LwM2M client: coap-node with a thermometer, a light and something to execute. Argument: the server's port.
// Lines: `temperature 22.5` measures, `leave` de-registers. Says what happens to it.
'use strict';
// It asks for the way out of this machine, which a network of a test's own does not have.
require('network').get_active_interface = done => done(null, { name: 'lo', ip_address: '127.0.0.1', mac_address: '00:00:00:00:00:00', gateway_ip: '127.0.0.1' });
const CoapNode = require('coap-node');
const SmartObject = require('smartobject');

const objects = new SmartObject();
objects.init('temperature', 0, { sensorValue: 21.5, units: 'Cel' });
objects.init('lightCtrl', 0, {
    onOff: { read: callback => callback(null, light), write: (value, callback) => { light = value; console.log('light', value); callback(null, value); } },
    5523: { exec: (...given) => { console.log('executed'); given.pop()(null); } },
});
let light = false;
const node = new CoapNode('coap-node-test', objects, { lifetime: 300 });
node.on('registered', () => console.log('registered'));
node.on('deregistered', () => console.log('left'));
node.register('127.0.0.1', Number(process.argv[2]), error => { if (error) { console.log('failed', error.message); } });
require('readline').createInterface({ input: process.stdin }).on('line', line => {
    const [word, value] = line.split(' ');
    if (word === 'temperature') {
        objects.write('temperature', 0, 'sensorValue', Number(value), () => console.log('measured', value));
    } else {
        node.deregister('127.0.0.1', Number(process.argv[2]), () => {});
    }
});
