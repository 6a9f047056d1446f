/** On the node's own network: sees the wire between the nodes. */
export function wirePod(nodeName: string, namespace: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `wire-${nodeName}`, namespace },
    spec: {
      nodeName,
      hostNetwork: true,
      terminationGracePeriodSeconds: 0,
      containers: [{ name: 'wire', image: 'ambit/curl' }],
    },
  };
}
